"""What augmentations do to images, against Pillow, OpenCV, SciPy and plain arithmetic."""

import colorsys

import cv2
import numpy
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats
from sklearn.datasets import load_sample_images

from imgcls import parts
from imgcls.augmentations import _mixing, _operations, _tones
from imgcls.augmentations._boxes import draw_boxes
from imgcls.backend import tf
from imgcls.input.augment import StatelessRandom

PHOTO = load_sample_images().images[0]
CROPS = numpy.stack([PHOTO[i : i + 40, 2 * i : 2 * i + 48] for i in range(0, 200, 40)])
NOISE = numpy.random.default_rng(0).integers(0, 256, (5, 40, 48, 3), numpy.uint8)
IMAGES = {
    "photos": CROPS,
    "noise": NOISE,
    "grey": CROPS[..., :1],
    "one level": numpy.full((5, 8, 9, 3), 77, numpy.uint8),
}


def draws(batch, step=0, key="test"):
    return StatelessRandom(key, tf.constant(step, tf.int64), tf.constant(0, tf.int64), batch, batch)


def settings_of(name, **settings):
    return parts.load("augmentations", name).Settings.model_validate({"name": name, **settings})


def applied(name, images, step=0, **settings):
    part = parts.load("augmentations", name)
    return part.compute(
        settings_of(name, **settings), tf.constant(images), draws(len(images), step)
    ).numpy()


def mixed(name, images, targets, step=0, **settings):
    part = parts.load("augmentations", name)
    result = part.mix(
        settings_of(name, **settings),
        tf.constant(images),
        tf.constant(targets),
        draws(len(images), step),
    )
    return [each.numpy() for each in result]


def pillow(images, function):
    """Apply a function of Pillow to each image."""
    mode = [
        Image.fromarray(image.squeeze(axis=2) if image.shape[2] == 1 else image) for image in images
    ]
    return numpy.stack(
        [
            numpy.asarray(function(image, i)).reshape(images.shape[1:])
            for i, image in enumerate(mode)
        ]
    )


FACTORS = [0.0, 0.3, 1.0, 1.4, 1.9]


@pytest.mark.parametrize("images", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize(
    ("operation", "enhancer"),
    [
        (_tones.adjust_brightness, ImageEnhance.Brightness),
        (_tones.adjust_contrast, ImageEnhance.Contrast),
        (_tones.adjust_saturation, ImageEnhance.Color),
        (_tones.adjust_sharpness, ImageEnhance.Sharpness),
    ],
    ids=["brightness", "contrast", "saturation", "sharpness"],
)
def test_enhancements_are_pillows_to_one_level(images, operation, enhancer):
    ours = operation(tf.constant(images), tf.constant(FACTORS)).numpy().astype(int)
    assert (
        numpy.abs(ours - pillow(images, lambda image, i: enhancer(image).enhance(FACTORS[i]))).max()
        <= 1
    )


@pytest.mark.parametrize("images", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda images: _tones.posterize(images, tf.constant([1, 2, 4, 7, 8])),
            lambda image, i: ImageOps.posterize(image, [1, 2, 4, 7, 8][i]),
        ),
        (
            lambda images: _tones.solarize(images, tf.constant([0, 1, 100, 255, 256])),
            lambda image, i: ImageOps.solarize(image, [0, 1, 100, 255, 256][i]),
        ),
        (_tones.autocontrast, lambda image, _: ImageOps.autocontrast(image)),
        (_tones.equalize, lambda image, _: ImageOps.equalize(image)),
    ],
    ids=["posterize", "solarize", "autocontrast", "equalize"],
)
def test_operations_on_levels_are_pillows_to_the_bit(images, ours, theirs):
    numpy.testing.assert_array_equal(ours(tf.constant(images)).numpy(), pillow(images, theirs))


def test_autocontrast_is_pillows_to_the_bit_on_any_range_of_levels():
    bounds = numpy.random.default_rng(0).integers(0, 256, (1000, 2))
    images = numpy.clip(
        numpy.arange(256), bounds.min(axis=1)[:, None], bounds.max(axis=1)[:, None]
    ).astype(numpy.uint8)
    images = images.reshape(-1, 16, 16, 1)
    theirs = pillow(images, lambda image, _: ImageOps.autocontrast(image))
    numpy.testing.assert_array_equal(_tones.autocontrast(tf.constant(images)).numpy(), theirs)


@pytest.mark.parametrize("images", [CROPS, NOISE], ids=["photos", "noise"])
def test_grey_is_pillows_to_the_bit(images):
    numpy.testing.assert_array_equal(
        _tones.to_grayscale(tf.constant(images)).numpy(),
        pillow(images, lambda image, _: image.convert("L").convert("RGB")),
    )


def test_hue_turns_the_colour_circle_as_colorsys_does():
    turns = [-0.5, -0.2, 0.0, 0.1, 0.4]
    pixels = NOISE[:, :6, :6]
    expected = numpy.empty(pixels.shape)
    for place in numpy.ndindex(pixels.shape[:3]):
        h, s, v = colorsys.rgb_to_hsv(*pixels[place] / 255)
        expected[place] = numpy.multiply(colorsys.hsv_to_rgb((h + turns[place[0]]) % 1, s, v), 255)
    assert (
        numpy.abs(
            _tones.adjust_hue(tf.constant(pixels), tf.constant(turns)).numpy() - expected
        ).max()
        <= 0.51
    )


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_blur_is_opencvs_away_from_the_border(sigma):
    ours = applied("gaussian_blur", CROPS, probability=1.0, sigma=[sigma, sigma]).astype(int)
    theirs = numpy.stack([cv2.GaussianBlur(image, (25, 25), sigma) for image in CROPS])
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert numpy.abs(ours[inner] - theirs[inner]).max() <= 1
    flat = numpy.full((5, 9, 9, 1), 200, numpy.uint8)
    numpy.testing.assert_array_equal(applied("gaussian_blur", flat, probability=1.0), flat)


def test_blur_leaves_the_share_of_images_that_it_is_told_to():
    images = numpy.repeat(NOISE[:1], 400, axis=0)
    changed = (
        (applied("gaussian_blur", images, probability=0.3, sigma=[1.0, 2.0]) != images)
        .any(axis=(1, 2, 3))
        .mean()
    )
    assert abs(changed - 0.3) < 4 * numpy.sqrt(0.3 * 0.7 / 400)


def test_noise_is_normal_of_the_deviation_that_is_drawn():
    grey = numpy.full((64, 40, 40, 1), 128, numpy.uint8)
    difference = applied("gaussian_noise", grey, sigma=[8.0, 8.0]).astype(float) - 128
    assert abs(difference.mean()) < 5 * 8 / numpy.sqrt(difference.size)
    assert difference.std() == pytest.approx(
        numpy.sqrt(64 + 1 / 12), rel=0.01
    )  # rounding adds a twelfth
    assert stats.kurtosis(difference, axis=None) == pytest.approx(0, abs=0.05)
    deviations = (applied("gaussian_noise", grey, sigma=[0.0, 10.0]).astype(float) - 128).std(
        axis=(1, 2, 3)
    )
    assert deviations.min() < 2 < 8 < deviations.max()


@pytest.mark.parametrize(
    ("name", "scale", "ratio"),
    [
        ("random_resized_crop", [0.08, 1.0], [3 / 4, 4 / 3]),
        ("random_erasing", [0.02, 0.4], [0.3, 1 / 0.3]),
    ],
)
def test_boxes_lie_inside_and_have_the_areas_and_shapes_asked_for(name, scale, ratio):
    count, height, width = 20_000, 300, 500
    drawn, fits = (
        each.numpy()
        for each in draw_boxes(
            scale, ratio, draws(count, key=name), tf.fill([count], height), tf.fill([count], width)
        )
    )
    top, left, high, wide = drawn[fits].T
    assert fits.mean() > 0.99
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + high <= height).all()
    assert (left + wide <= width).all()
    areas, ratios = high * wide / (height * width), wide / high
    assert scale[0] - 0.01 <= areas.min() < scale[0] + 0.02
    assert areas.max() <= scale[1] + 0.01
    assert ratio[0] * 0.97 <= ratios.min() < ratio[0] * 1.1
    assert ratio[1] / 1.1 < ratios.max() <= ratio[1] * 1.03
    small = areas < 0.15  # where every shape fits, the logarithm of the ratio is uniform
    uniform = (numpy.log(ratios[small]) - numpy.log(ratio[0])) / (
        numpy.log(ratio[1]) - numpy.log(ratio[0])
    )
    assert stats.kstest(uniform, "uniform").statistic < 0.03


def test_a_window_that_never_fits_is_the_largest_in_the_middle():
    part = parts.load("augmentations", "random_resized_crop")
    found = part.draw_crops(
        settings_of("random_resized_crop", scale=[1.0, 1.0]),
        draws(3),
        tf.fill([3], 100),
        tf.fill([3], 1000),
    ).numpy()
    assert found.tolist() == [[0, 433, 100, 133]] * 3


def test_random_resized_crop_is_pillows_enlargement_of_its_windows():
    part, settings = (
        parts.load("augmentations", "random_resized_crop"),
        settings_of("random_resized_crop"),
    )
    ours = part.compute(settings, tf.constant(CROPS), draws(5)).numpy().astype(int)
    windows = part.draw_crops(settings, draws(5), tf.fill([5], 40), tf.fill([5], 48)).numpy()
    for image, (top, left, height, width), found in zip(CROPS, windows.tolist(), ours, strict=True):
        box = (left, top, left + width, top + height)
        expected = Image.fromarray(image).resize((48, 40), Image.Resampling.BILINEAR, box=box)
        assert numpy.abs(found - numpy.asarray(expected)).max() <= 1


def test_erasing_covers_one_box_and_leaves_the_rest():
    images = numpy.full((200, 30, 40, 1), 128, numpy.uint8)
    erased = applied("random_erasing", images, probability=0.5, fill="constant")
    covered = (erased == 0)[..., 0]
    assert set(numpy.unique(erased)) == {0, 128}
    for mask in covered[covered.any(axis=(1, 2))]:
        rows, columns = numpy.flatnonzero(mask.any(axis=1)), numpy.flatnonzero(mask.any(axis=0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 0.01 < mask.mean() < 0.41
    assert abs(covered.any(axis=(1, 2)).mean() - 0.5) < 4 * numpy.sqrt(0.25 / 200)
    noise = applied("random_erasing", images, probability=1.0)
    assert len(numpy.unique(noise)) > 200


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixing_shares_are_beta_distributed(alpha):
    kept = _mixing.draw_kept_fractions(alpha, 1.0, draws(20_000)).numpy() / 256
    assert stats.kstest(kept, stats.beta(alpha, alpha).cdf).statistic < 0.02 + (
        numpy.mean(kept == 0) if alpha < 1 else 0
    )
    assert kept.mean() == pytest.approx(0.5, abs=0.01)
    assert (
        _mixing.draw_kept_fractions(alpha, 0.25, draws(20_000)).numpy() == 256
    ).mean() == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("rows", [8, 7])
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixing_changes_images_and_targets_by_the_same_share_of_the_neighbour(name, rows):
    levels = numpy.arange(rows) * 30
    images = numpy.repeat(levels, 20 * 30).reshape(rows, 20, 30, 1).astype(numpy.uint8)
    results, targets = mixed(name, images, numpy.eye(rows, dtype=numpy.float32), probability=1.0)
    numpy.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    for row in range(rows):
        partner = row ^ 1 if row ^ 1 < rows else row
        assert set(numpy.flatnonzero(targets[row])) <= {row, partner}
        share = targets[row, row]
        expected = share * levels[row] + (1 - share) * levels[partner]
        if name == "mixup":
            assert numpy.abs(results[row] - expected).max() <= 0.5
        else:
            assert set(numpy.unique(results[row])) <= {levels[row], levels[partner]}
            assert results[row].mean() == pytest.approx(expected, abs=1e-3)
    assert (targets.max(axis=1) < 1).sum() >= rows // 2


@pytest.mark.parametrize("name", ["rand_augment", "trivial_augment"])
def test_an_image_goes_through_one_of_the_fourteen_operations_each_about_equally_often(name):
    right, down = (32.0, 32.0) if name == "trivial_augment" else (150 / 331 * 48, 150 / 331 * 40)
    space = (
        _operations.Space(0.99, right, down, 135.0, 0.99, (8, 6), "nearest")
        if name == "trivial_augment"
        else _operations.Space(0.3, right, down, 30.0, 0.9, (8, 4), "nearest")
    )
    count = 280
    images = numpy.repeat(CROPS[:1], count, axis=0)
    results = applied(name, images, **({"num_ops": 1} if name == "rand_augment" else {}))
    levels = numpy.array(
        [9 / 30, -9 / 30] if name == "rand_augment" else [i / 30 for i in range(-30, 31)],
        numpy.float32,
    )
    alike = tf.constant(numpy.repeat(CROPS[:1], len(levels), axis=0))
    possible = {
        each: getattr(space, each)(alike, tf.constant(levels)).numpy() for each in _operations.ALL
    }
    found = {
        each: sum((result == outcomes).all(axis=(1, 2, 3)).any() for result in results)
        for each, outcomes in possible.items()
    }
    assert all(
        (result == outcomes).all(axis=(1, 2, 3)).any()
        for result in results
        for outcomes in [numpy.concatenate(list(possible.values()))]
    )
    for each in (
        ("rotate", "contrast", "equalize", "shear_x") if name == "rand_augment" else ("equalize",)
    ):  # level 0 is alike for all
        assert abs(found[each] - count / 14) < 5 * numpy.sqrt(count / 14)


def test_aug_mix_leaves_an_image_alone_that_no_operation_changes_and_mixes_others_with_their_chains(
    monkeypatch,
):
    assert numpy.abs(applied("aug_mix", CROPS).astype(int) - CROPS).max() > 3
    part = parts.load("augmentations", "aug_mix")
    monkeypatch.setattr(part, "OPERATIONS", ("identity", "identity"))
    assert numpy.abs(applied("aug_mix", CROPS).astype(int) - CROPS).max() <= 1
    monkeypatch.setattr(part, "OPERATIONS", ("identity", "posterize"))
    darker = (
        applied("aug_mix", CROPS, severity=10.0).astype(int) - CROPS
    )  # posterize only takes bits away
    assert darker.max() <= 1
    assert darker.min() < -10


def test_aug_mix_is_the_papers_algorithm_image_by_image():
    count, width, depth = 12, 2, 3
    images = numpy.concatenate([CROPS, NOISE, CROPS[:2]])
    operations = parts.load("augmentations", "aug_mix").OPERATIONS
    space = _operations.Space(
        0.3, 48 / 3, 40 / 3, degrees=30.0, enhance=0.0, bits=(4, 4), interpolation="bilinear"
    )
    drawn = draws(count)
    depths = 1 + numpy.floor(drawn.uniform(0.0, 1.0, (width,)) * depth)
    choices = 1 + numpy.floor(
        drawn.uniform(0.0, 1.0, (width, depth)) * (len(operations) - 1)
    ).astype(int)
    levels = (
        drawn.uniform(0.1, 3.0, (width, depth)).numpy()
        / 10
        * numpy.sign(drawn.uniform(-1.0, 1.0, (width, depth)))
    )
    exponential = -numpy.log1p(-drawn.uniform(0.0, 1.0, (width,)).numpy())
    shares, mixed_in = (
        exponential / exponential.sum(axis=1, keepdims=True),
        drawn.uniform(0.0, 1.0, (1,)).numpy()[:, 0],
    )
    ours = applied("aug_mix", images, width=width, depth=depth)
    for i in range(count):
        mixture = numpy.zeros(images.shape[1:])
        for chain in range(width):
            changed = tf.constant(images[i : i + 1])
            for place in range(int(depths[i, chain])):
                changed = getattr(space, operations[choices[i, chain, place]])(
                    changed, tf.constant(levels[i, chain, place : place + 1])
                )
            mixture += shares[i, chain] * changed.numpy()[0]
        expected = (1 - mixed_in[i]) * images[i] + mixed_in[i] * mixture
        assert numpy.abs(ours[i] - expected).max() < 0.51


def test_colour_is_its_changes_one_after_the_other():
    names = ("brightness", "contrast", "saturation")
    off = dict.fromkeys(names, 0.0)
    for name in names:
        changed = applied("color_jitter", CROPS, **{**off, name: 0.4})
        factors = draws(5).uniform(0.6, 1.4)
        numpy.testing.assert_array_equal(
            changed, getattr(_tones, f"adjust_{name}")(tf.constant(CROPS), factors).numpy()
        )
    numpy.testing.assert_array_equal(applied("color_jitter", CROPS, **off), CROPS)
