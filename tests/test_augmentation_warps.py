"""What warps, shears and shifts do to images, against Pillow, OpenCV and numpy."""

import cv2
import numpy
import pytest
from augmentation_helpers import CROPS, NOISE, apply_augmentation, apply_pillow, make_random
from PIL import Image

from imgcls.augmentations import _warps
from imgcls.backend import tf


@pytest.mark.parametrize(
    ("interpolation", "filter_"),
    [("nearest", Image.Resampling.NEAREST), ("bilinear", Image.Resampling.BILINEAR)],
)
@pytest.mark.parametrize(
    ("warp", "matrix"),
    [
        (
            lambda images, how: _warps.warp(
                images, _warps.compute_rotation(tf.constant([17.0])), how, "constant"
            ),
            None,
        ),
        (lambda images, how: _warps.shear_x(images, tf.constant([0.3]), how), (1, 0.3, 0, 0, 1, 0)),
        (
            lambda images, how: _warps.shear_y(images, tf.constant([-0.2]), how),
            (1, 0, 0, -0.2, 1, 0),
        ),
    ],
    ids=["rotation", "shear_x", "shear_y"],
)
def test_warps_are_pillows_about_the_center(interpolation, filter_, warp, matrix):
    image = cv2.GaussianBlur(CROPS[0], (5, 5), 1.5)
    ours = warp(tf.constant(image[None]), interpolation).numpy()[0].astype(int)
    if matrix is None:
        theirs = Image.fromarray(image).rotate(-17, filter_)
    else:
        a, b, c, d, e, f = matrix
        x, y = image.shape[1] / 2, image.shape[0] / 2
        centered = (a, b, c + x - a * x - b * y, d, e, f + y - d * x - e * y)
        theirs = Image.fromarray(image).transform(
            image.shape[1::-1], Image.Transform.AFFINE, centered, filter_
        )
    difference = numpy.abs(ours - numpy.asarray(theirs))
    # Not at the edge, which Pillow places slightly differently.
    full = warp(tf.constant(numpy.full_like(image, 255)[None]), interpolation).numpy()[0, :, :, 0]
    inner = cv2.erode(full, numpy.ones((3, 3), numpy.uint8), borderValue=0) == 255
    assert inner.mean() > 0.5
    off = (difference[inner] > (1 if interpolation == "bilinear" else 0)).any(axis=1).mean()
    assert off < 0.01  # ties of the nearest pixel


@pytest.mark.parametrize("slope", [-3.0, -0.3, 0.0, 0.99])
def test_a_shear_interpolates_between_neighbors_in_a_row_and_is_black_outside(slope):
    image = NOISE[0].astype(float)
    height, width = image.shape[:2]
    expected = numpy.empty_like(image)
    for row in range(height):
        positions = numpy.arange(width) + slope * (row - (height - 1) / 2)
        bordered = numpy.pad(image[row], [(1, 1), (0, 0)])
        expected[row] = numpy.stack(
            [
                numpy.interp(positions, numpy.arange(-1, width + 1), channel)
                for channel in bordered.T
            ],
            axis=-1,
        )
    ours = (
        _warps.shear_x(tf.constant(NOISE[:1]), tf.constant([slope]), "bilinear")
        .numpy()[0]
        .astype(float)
    )
    truncated = expected - ours  # in single precision
    assert -1e-3 < truncated.min() <= truncated.max() < 1 + 1e-3


@pytest.mark.parametrize(
    ("shift", "axis"), [(_warps.shift_right, 2), (_warps.shift_down, 5)], ids=["right", "down"]
)
def test_a_shift_is_pillows_to_the_bit(shift, axis):
    pixels = [0, 3, -5, 48, -60]

    def theirs(image, i):
        matrix = [1, 0, 0, 0, 1, 0]
        matrix[axis] = -pixels[i]
        return image.transform(image.size, Image.Transform.AFFINE, matrix)

    numpy.testing.assert_array_equal(
        shift(tf.constant(CROPS), tf.constant(pixels)).numpy(), apply_pillow(CROPS, theirs)
    )


@pytest.mark.parametrize(
    ("fill", "border"),
    [
        ("constant", cv2.BORDER_CONSTANT),
        ("reflect", cv2.BORDER_REFLECT),
        ("nearest", cv2.BORDER_REPLICATE),
    ],
)
def test_a_warp_fills_the_outside_as_opencv_does(fill, border):
    inverse = _warps.compute_inverse_matrix(
        *[tf.constant([value]) for value in (10.0, 5.0, 0.8, 4.0, -3.0)]
    )
    ours = _warps.warp(tf.constant(CROPS[:1]), inverse, "nearest", fill).numpy()[0]
    matrix = inverse.numpy()[0].astype(numpy.float64)
    center = numpy.array([(CROPS.shape[2] - 1) / 2, (CROPS.shape[1] - 1) / 2])
    matrix[:, 2] += center - matrix[:, :2] @ center
    theirs = cv2.warpAffine(
        CROPS[0],
        matrix,
        CROPS.shape[2:0:-1],
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    assert (ours == theirs).all(axis=2).mean() > 0.97


def test_an_affine_warp_whose_ranges_are_all_zero_changes_nothing():
    still = apply_augmentation(
        "random_affine", CROPS, degrees=0.0, translate=0.0, scale=[1.0, 1.0], shear=0.0
    )
    numpy.testing.assert_array_equal(still, CROPS)
    assert (apply_augmentation("random_affine", CROPS) != CROPS).any()


@pytest.mark.parametrize("count", [1, 16, 37])
def test_an_affine_warp_has_random_parameters_per_image_in_batches_of_any_size(count):
    images = numpy.random.default_rng(0).integers(0, 256, (count, 9, 12, 3), numpy.uint8)
    high = numpy.array(
        [15.0, 10.0, 1.2, 0.9, 1.1], numpy.float32
    )  # degrees, shear, right, down, scale
    low = numpy.array([-15.0, -10.0, -1.2, -0.9, 0.9], numpy.float32)
    degrees, shear, right, down, scale = tf.unstack(
        low + make_random(count).uniform(0.0, 1.0, (5,)) * (high - low), axis=1
    )
    inverse = _warps.compute_inverse_matrix(degrees, shear, scale, right, down)
    alone = [
        _warps.warp(
            tf.constant(images[i : i + 1]), inverse[i : i + 1], "bilinear", "constant"
        ).numpy()[0]
        for i in range(count)
    ]
    numpy.testing.assert_array_equal(apply_augmentation("random_affine", images), alone)
