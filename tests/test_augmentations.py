"""What all augmentations have in common; flip and crop against numpy."""

import numpy
import pytest
from experiments import experiment

from imgcls import parts
from imgcls.backend import tf
from imgcls.errors import UserError
from imgcls.input.augment import augment, check_augmentations, preview


class FixedRandom:
    """Random parameters that a test chose."""

    def __init__(self, *values):
        self._values = list(values)

    def uniform(self, low, high):
        return tf.constant(self._values.pop(0), tf.float32)

    def integers(self, low, high):
        return tf.constant(self._values.pop(0), tf.int32)


@pytest.fixture
def images():
    return numpy.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), numpy.uint8)


@pytest.mark.parametrize("name", parts.list_names("augmentations"))
def test_an_augmentation_keeps_shape_and_type_and_depends_on_the_step(tmp_path, images, name):
    settings = experiment(tmp_path, f"augment=[{{name: {name}}}]")
    first, again, later = (preview(settings, images, step) for step in (0, 0, 1))
    assert (first.dtype, first.shape) == (numpy.uint8, images.shape)
    numpy.testing.assert_array_equal(first, again)
    assert (first != later).any()


def test_flip_mirrors_the_images_whose_random_number_is_below_the_probability(images):
    part = parts.load("augmentations", "random_flip")
    result = part.compute(
        part.Settings(name="random_flip", probability=0.5),
        tf.constant(images),
        FixedRandom([0.0, 0.49, 0.5, 0.9, 0.1]),
    ).numpy()
    for row, flipped in enumerate([True, True, False, False, True]):
        numpy.testing.assert_array_equal(
            result[row], images[row, :, ::-1] if flipped else images[row]
        )


@pytest.mark.parametrize(
    ("fill", "mode"), [("constant", "constant"), ("reflect", "reflect"), ("nearest", "edge")]
)
def test_crop_is_a_region_of_the_padded_image(images, fill, mode):
    part = parts.load("augmentations", "random_crop")
    down, right = [-2, -1, 0, 1, 2], [2, 0, -2, -1, 1]
    result = part.compute(
        part.Settings(name="random_crop", padding=2, fill=fill),
        tf.constant(images),
        FixedRandom(down, right),
    ).numpy()
    padded = numpy.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], mode=mode)
    for row in range(5):
        top, left = 2 + down[row], 2 + right[row]
        numpy.testing.assert_array_equal(result[row], padded[row, top : top + 6, left : left + 7])


def test_random_parameters_are_uniform_and_independent():
    from imgcls.input.augment import StatelessRandom

    random = [
        StatelessRandom("key", tf.constant(step, tf.int64), tf.constant(0, tf.int64), 4096, 4096)
        for step in (0, 1)
    ]
    first, second, other_step = (
        random[0].uniform(0.0, 1.0),
        random[0].uniform(0.0, 1.0),
        random[1].uniform(0.0, 1.0),
    )
    assert abs(float(tf.reduce_mean(first)) - 0.5) < 5 / numpy.sqrt(12 * 4096)
    for other in (second, other_step):
        assert abs(numpy.corrcoef(first, other)[0, 1]) < 5 / numpy.sqrt(4096)
    integers = random[0].integers(-1, 2).numpy()
    assert set(integers) == {-1, 0, 1}


@pytest.fixture
def rgb():
    return numpy.random.default_rng(1).integers(0, 256, (8, 24, 20, 3), numpy.uint8)


@pytest.mark.parametrize("name", parts.list_names("augmentations"))
def test_two_devices_make_the_same_images_as_one(tmp_path, rgb, name):
    settings, step = experiment(tmp_path, f"augment=[{{name: {name}}}]"), tf.constant(5, tf.int64)

    def rows(first, last):
        targets = tf.eye(8)[first:last]
        result = augment(
            settings,
            tf.constant(rgb[first:last]),
            targets,
            step,
            tf.constant(first, tf.int64),
            8,
            10,
        )
        return [each.numpy() for each in result]

    whole, halves = rows(0, 8), [rows(0, 4), rows(4, 8)]
    for each, of_halves in zip(whole, zip(*halves, strict=True), strict=True):
        numpy.testing.assert_array_equal(each, numpy.concatenate(of_halves))


@pytest.mark.parametrize("name", parts.list_names("augmentations"))
def test_a_part_runs_in_a_graph_with_op_determinism_and_stops_at_its_until(tmp_path, rgb, name):
    settings = experiment(tmp_path, f"augment=[{{name: {name}, until: 50%}}]", "train.epochs=3")

    @tf.function
    def at(step):
        return augment(
            settings, tf.constant(rgb), tf.eye(8), step, tf.constant(0, tf.int64), 8, 10
        )[0]

    changed = [
        bool((at(tf.constant(step, tf.int64)).numpy() != rgb).any()) for step in (0, 19, 20, 29)
    ]
    assert changed == [True, True, False, False]  # half of three epochs, rounded up, is two


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ("0%", "is '0%'"),
        ("101%", "is '101%', which is more than 100%"),
        ("0", "is 0"),
        ("4 epochs", "train.epochs is 2"),
        ("4", "is 4, which has no unit"),
        ("half", "is 'half'"),
    ],
)
def test_an_until_that_means_nothing_is_refused(tmp_path, until, message):
    with pytest.raises(UserError, match=message):
        experiment(tmp_path, f"augment=[{{name: random_flip, until: {until}}}]")


@pytest.mark.parametrize(
    "part",
    [
        "{name: random_grayscale}",
        "{name: color_jitter}",
        "{name: color_jitter, saturation: 0.0, hue: 0.1}",
    ],
)
def test_parts_that_need_rgb_refuse_other_images(tmp_path, part):
    settings = experiment(tmp_path, f"augment=[{{name: random_flip}}, {part}]")
    check_augmentations(settings, 3, 8)
    with pytest.raises(
        UserError,
        match=(
            r"augment.1: (random_grayscale|color_jitter) needs RGB images, but these have 1"
            r" channel\(s\)"
        ),
    ):
        check_augmentations(settings, 1, 8)


def test_pairs_must_not_be_split_between_devices(tmp_path):
    settings = experiment(tmp_path, "augment=[{name: mixup}]", "train.batch_size=10")
    check_augmentations(settings, 1, 10)
    with pytest.raises(
        UserError, match="mixup and cutmix pair the images on a device, but each device gets 5"
    ):
        check_augmentations(settings, 1, 5)


def test_every_augmentation_has_a_random_key_of_its_own():
    keys = [
        parts.load("augmentations", name).RANDOM_KEY for name in parts.list_names("augmentations")
    ]
    assert len(set(keys)) == len(keys)


def test_random_parameters_follow_the_random_key_and_not_the_name(tmp_path, images, monkeypatch):
    settings = experiment(tmp_path, "augment=[{name: gaussian_noise}]")
    before = preview(settings, images, 0)
    part = parts.load("augmentations", "gaussian_noise")
    renamed = settings.model_copy(
        update={"augment": [part.Settings(name="noise_under_another_name")]}
    )
    monkeypatch.setattr("imgcls.parts.load_for", lambda kind, settings: part)
    numpy.testing.assert_array_equal(preview(renamed, images, 0), before)
    monkeypatch.setattr(part, "RANDOM_KEY", "another")
    assert (preview(renamed, images, 0) != before).any()
