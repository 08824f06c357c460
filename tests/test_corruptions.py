"""Corruptions change images more the more severe they are, whatever the size and channels, and are
a pure function of the seed and the image.
"""

import hashlib

import cv2
import numpy
import pytest
from experiments import as_they_are
from sklearn.datasets import load_sample_image

from imgcls import corruptions, parts
from imgcls.corruptions import SEVERITIES, _pixels
from imgcls.corruptions.defocus_blur import make_disk
from imgcls.evaluation.corrupted import CorruptedReader, corrupt_image, make_generator

NAMES = parts.list_names("corruptions")
SHAPES = {"28 gray": (28, 28, 1), "32 RGB": (32, 32, 3), "224 RGB": (224, 224, 3)}
NOT_MONOTONE = {
    ("pixelate", "32 RGB"): "where cells and pixels coincide, as at 16 of 32, less is lost",
}
"""Corruptions that do not move an image further at every step, each with the reason."""
PUBLISHED = {
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur"),
    *("motion_blur", "zoom_blur", "snow", "frost", "fog", "brightness", "contrast"),
    *("elastic_transform", "pixelate", "jpeg_compression"),
}


def photos(shape):
    """Return two photos of a shape, uint8."""
    height, width, channels = shape
    found = []
    for name in ("flower.jpg", "china.jpg"):
        photo = load_sample_image(name)[:, 100:527]
        small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        gray = small.mean(axis=2, keepdims=True).astype(numpy.uint8)
        found.append(small if channels == 3 else numpy.repeat(gray, channels, axis=2))
    return found


def corrupt(name, image, severity, index=0, seed=0):
    """Return an image under a corruption."""
    settings = parts.make_default_settings("corruptions", name)
    return corrupt_image(image, settings, severity, make_generator(seed, name, index))


def distance(one, other):
    """Return the root mean square difference in levels."""
    return float(numpy.sqrt(((one.astype(float) - other) ** 2).mean()))


def test_there_are_the_fifteen_of_hendrycks_and_dietterich():
    assert set(NAMES) == PUBLISHED


def mean_distances(name, shape, tries):
    """Return the distance from the clean image at each severity, over photos and generators."""
    return [
        numpy.mean(
            [
                distance(image, corrupt(name, image, severity, 2 * i + j))
                for j, image in enumerate(photos(shape))
                for i in range(tries)
            ]
        )
        for severity in SEVERITIES
    ]


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_the_more_severe_the_further_from_the_clean_image(name, size):
    found = mean_distances(name, SHAPES[size], tries=1 if size.startswith("224") else 8)
    assert found[0] > 5  # levels of 255: even the weakest one is seen
    assert found[-1] > 1.15 * found[0]
    assert (numpy.diff(found) > 0).all() == ((name, size) not in NOT_MONOTONE)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (9, 31, 1), (20, 12, 4), (8, 8, 3), (7, 8, 2)], ids=str
)
@pytest.mark.parametrize("name", NAMES)
def test_every_shape_of_image_is_taken_and_returned(name, shape):
    image = numpy.random.default_rng(0).integers(0, 256, shape).astype(numpy.uint8)
    for severity in (1, 5):
        changed = corrupt(name, image, severity)
        assert (changed.shape, changed.dtype) == (shape, numpy.uint8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_images_are_taken_without_a_warning(name, level):
    changed = corrupt(name, numpy.full((16, 16, 3), level, numpy.uint8), 3)
    assert changed.shape == (16, 16, 3)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_and_the_image_decide_every_bit(name):
    image = photos((32, 32, 3))[0]
    same = [hashlib.sha256(corrupt(name, image, 3, 7, 1)).hexdigest() for _ in range(2)]
    assert same[0] == same[1]
    others = [corrupt(name, image, 3, *place) for place in ((7, 2), (8, 1))]
    is_random = any(hashlib.sha256(each).hexdigest() != same[0] for each in others)
    fixed = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
    assert is_random == (name not in fixed)


@pytest.mark.parametrize("name", NAMES)
def test_the_image_is_not_changed_in_place(name):
    image = photos((16, 16, 3))[0]
    values = image.astype(numpy.float32) / 255
    before = values.copy()
    settings = parts.make_default_settings("corruptions", name)
    parts.load("corruptions", name).corrupt(settings, values, 5, make_generator(0, name, 0))
    assert (values == before).all()


def test_a_reader_corrupts_each_image_by_its_index_whatever_the_batch():
    images = numpy.stack(photos((16, 16, 3)) * 2)
    settings = parts.make_default_settings("corruptions", "snow")
    reader = CorruptedReader(as_they_are(images), settings, 2, seed=5)
    together = reader.read(numpy.array([0, 1, 2, 3]))
    assert reader.geometry.shape == (16, 16, 3)
    for i in range(4):
        assert (reader.read(numpy.array([i]))[0] == together[i]).all()
        assert (together[i] == corrupt("snow", images[i], 2, i, 5)).all()
    assert not (together[0] == together[2]).all()  # the same photo, another index


# Closed forms.


def test_the_noise_has_the_stated_std():
    gray = numpy.full((224, 224, 3), 128, numpy.uint8)
    noise = corrupt("gaussian_noise", gray, 1).astype(float) - 128
    assert noise.std() / 255 == pytest.approx(0.08, rel=0.02)
    shot = corrupt("shot_noise", gray, 1).astype(float) - 128
    assert shot.std() / 255 == pytest.approx((128 / 255 / 60) ** 0.5, rel=0.05)
    assert abs(shot.mean()) < 0.5
    changed = (corrupt("impulse_noise", gray, 3) != 128).mean()
    assert changed == pytest.approx(0.09, rel=0.05)


def test_the_noise_of_small_images_is_weaker():
    assert _pixels.get_noise_scale(numpy.zeros((224, 300, 3))) == 1
    assert _pixels.get_noise_scale(numpy.zeros((32, 32, 1))) == pytest.approx(0.506, abs=1e-3)


def test_contrast_and_brightness_do_what_their_formulas_say():
    image = photos((32, 32, 3))[1]
    mean = image.astype(float).mean(axis=(0, 1))
    expected = (image - mean) * 0.2 + mean
    assert abs(corrupt("contrast", image, 3) - expected).max() <= 1
    lifted = corrupt("brightness", image, 3)
    value = image.max(axis=2).astype(float)
    assert abs(lifted.max(axis=2) - numpy.minimum(value + 0.3 * 255, 255)).max() <= 1


@pytest.mark.parametrize("radius", [3.0, 10.5])
def test_the_disk_has_the_mass_of_a_disk(radius):
    kernel = make_disk(radius)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    rows, columns = numpy.indices(kernel.shape) - len(kernel) // 2
    # Its second moment is that of a disk, and of the pixel that each value stands for.
    assert (kernel * (rows**2 + columns**2)).sum() == pytest.approx(radius**2 / 2 + 1 / 6, abs=0.1)


@pytest.mark.parametrize("angle", [0, 0.7, numpy.pi / 2, 2.5])
def test_a_line_has_the_mass_of_a_line(angle):
    kernel = _pixels.make_line_kernel(6.5, angle)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    rows, columns = numpy.indices(kernel.shape) - len(kernel) // 2
    along = rows * numpy.sin(angle) + columns * numpy.cos(angle)
    assert (kernel * along).sum() == pytest.approx(0, abs=1e-3)
    assert (kernel * along**2).sum() == pytest.approx(6.5**2 / 12, abs=0.35)


def test_clouds_are_between_0_and_1_and_smoother_with_roughness():
    rough, smooth = (
        _pixels.make_clouds((64, 48), power, numpy.random.default_rng(0)) for power in (1.0, 2.0)
    )
    for each in (rough, smooth):
        assert (each.min(), each.max()) == (0, 1)
    assert abs(numpy.diff(smooth)).mean() < abs(numpy.diff(rough)).mean()


def test_the_contract_names_five_severities():
    assert "1 to 5" in corruptions.__doc__
    assert SEVERITIES == (1, 2, 3, 4, 5)
