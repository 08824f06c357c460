"""Tones, blur and noise, against Pillow, SciPy and colorsys."""

import colorsys

import numpy
import pytest
from augmentation_helpers import CROPS, IMAGES, NOISE, apply_augmentation, apply_pillow, make_random
from PIL import ImageEnhance, ImageOps
from scipy import ndimage, stats

from imgcls.augmentations import _tones
from imgcls.backend import tf

GRAY_AND_WIDE = numpy.random.default_rng(2).integers(0, 256, (3, 5, 100, 1), numpy.uint8)
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
        numpy.abs(
            ours - apply_pillow(images, lambda image, i: enhancer(image).enhance(FACTORS[i]))
        ).max()
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
    numpy.testing.assert_array_equal(
        ours(tf.constant(images)).numpy(), apply_pillow(images, theirs)
    )


def test_autocontrast_is_pillows_to_the_bit_on_any_range_of_levels():
    bounds = numpy.random.default_rng(0).integers(0, 256, (1000, 2))
    images = numpy.clip(
        numpy.arange(256), bounds.min(axis=1)[:, None], bounds.max(axis=1)[:, None]
    ).astype(numpy.uint8)
    images = images.reshape(-1, 16, 16, 1)
    theirs = apply_pillow(images, lambda image, _: ImageOps.autocontrast(image))
    numpy.testing.assert_array_equal(_tones.autocontrast(tf.constant(images)).numpy(), theirs)


@pytest.mark.parametrize("images", [CROPS, NOISE], ids=["photos", "noise"])
def test_grayscale_is_pillows_to_the_bit(images):
    numpy.testing.assert_array_equal(
        _tones.to_grayscale(tf.constant(images)).numpy(),
        apply_pillow(images, lambda image, _: image.convert("L").convert("RGB")),
    )


def test_hue_shifts_around_the_color_circle_as_colorsys_does():
    shifts = [-0.5, -0.2, 0.0, 0.1, 0.4]
    pixels = NOISE[:, :6, :6]
    expected = numpy.empty(pixels.shape)
    for index in numpy.ndindex(pixels.shape[:3]):
        h, s, v = colorsys.rgb_to_hsv(*pixels[index] / 255)
        expected[index] = numpy.multiply(colorsys.hsv_to_rgb((h + shifts[index[0]]) % 1, s, v), 255)
    assert (
        numpy.abs(
            _tones.adjust_hue(tf.constant(pixels), tf.constant(shifts)).numpy() - expected
        ).max()
        <= 0.51
    )


def test_color_jitter_draws_a_factor_per_quantity_and_leaves_those_at_0_unchanged():
    names = ("brightness", "contrast", "saturation")
    off = dict.fromkeys(names, 0.0)
    for name in names:
        changed = apply_augmentation("color_jitter", CROPS, **{**off, name: 0.4})
        factors = make_random(5).uniform(0.6, 1.4)
        numpy.testing.assert_array_equal(
            changed, getattr(_tones, f"adjust_{name}")(tf.constant(CROPS), factors).numpy()
        )
    numpy.testing.assert_array_equal(apply_augmentation("color_jitter", CROPS, **off), CROPS)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0, 9.0])
@pytest.mark.parametrize("images", [CROPS, NOISE, GRAY_AND_WIDE], ids=["photos", "noise", "wide"])
def test_blur_is_scipys_with_weights_that_add_up_to_1_at_the_border(images, sigma):
    ours = apply_augmentation("gaussian_blur", images, probability=1.0, sigma=[sigma, sigma])

    def blur(values):
        """Blur along height and width; outside there are zeros."""
        return ndimage.gaussian_filter(
            values.astype(float), [0, sigma, sigma, 0], mode="constant", truncate=4.0
        )

    # Weights and intermediate results are rounded, so that a pixel near a half may go either way.
    expected = blur(images) / blur(numpy.ones(images.shape))
    assert numpy.abs(ours - expected).max() < 0.55


def test_blur_does_not_change_an_image_of_one_level():
    flat = numpy.full((5, 9, 9, 1), 200, numpy.uint8)
    numpy.testing.assert_array_equal(
        apply_augmentation("gaussian_blur", flat, probability=1.0, sigma=[0.1, 50.0]), flat
    )


def test_blur_changes_the_fraction_of_images_that_its_probability_says():
    images = numpy.repeat(NOISE[:1], 400, axis=0)
    changed = (
        (apply_augmentation("gaussian_blur", images, probability=0.3, sigma=[1.0, 2.0]) != images)
        .any(axis=(1, 2, 3))
        .mean()
    )
    assert abs(changed - 0.3) < 4 * numpy.sqrt(0.3 * 0.7 / 400)


def test_noise_is_normal_with_the_std_that_is_drawn():
    gray = numpy.full((64, 40, 40, 1), 128, numpy.uint8)
    difference = apply_augmentation("gaussian_noise", gray, sigma=[8.0, 8.0]).astype(float) - 128
    assert abs(difference.mean()) < 5 * 8 / numpy.sqrt(difference.size)
    assert difference.std() == pytest.approx(
        numpy.sqrt(64 + 1 / 12), rel=0.01
    )  # rounding adds a twelfth
    assert stats.kurtosis(difference, axis=None) == pytest.approx(0, abs=0.05)
    stds = (apply_augmentation("gaussian_noise", gray, sigma=[0.0, 10.0]).astype(float) - 128).std(
        axis=(1, 2, 3)
    )
    assert stds.min() < 2 < 8 < stds.max()
