"""Affine warps of batches, with a matrix per image. Heavy zone."""

import math

from imgcls.augmentations._bytes import count_images_in_cache
from imgcls.backend import tf

FILLS = {"constant": "CONSTANT", "reflect": "REFLECT", "nearest": "NEAREST"}
"""How pixels outside the image are filled, each with TensorFlow's name for it."""


def shift_right(images: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Shift images right by whole pixels, int32 (batch,); black fills the gap.

    Copying rows of a transposed image takes a fifth of the time of gathering bytes within rows.
    """
    return _transpose(shift_down(_transpose(images), pixels))


def shift_down(images: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Shift images down by whole pixels, int32 (batch,); black fills the gap.

    It takes a thirtieth of the time of a warp.
    """
    _, height, width, channels = images.shape
    read = tf.reshape(images, [-1, width * channels])
    black = tf.shape(read)[0]
    rows = tf.range(height) - pixels[:, None]
    starts = tf.range(0, black, height)[:, None]
    rows = tf.where((rows >= 0) & (rows < height), starts + rows, black)
    shifted = tf.gather(tf.concat([read, tf.zeros([1, width * channels], tf.uint8)], axis=0), rows)
    return tf.reshape(shifted, [-1, height, width, channels])


def shear_x(images: tf.Tensor, slopes: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Shear images along x by slopes, float32 (batch,), about the center; black outside.

    A row reads its pixels from slope * (its distance below the center) further right. That offset
    is the same for a whole row, so this takes half the time of a warp.
    """
    height, width = images.shape[1:3]
    offsets = slopes[:, None] * (tf.range(height, dtype=tf.float32) - (height - 1) / 2)
    whole = tf.floor(offsets + 0.5 if interpolation == "nearest" else offsets)
    columns = tf.cast(whole, tf.int32)[:, :, None] + tf.range(1, width + 2)
    bordered = tf.pad(images, [[0, 0], [0, 0], [1, 1], [0, 0]])
    read = tf.gather(bordered, tf.clip_by_value(columns, 0, width + 1), axis=2, batch_dims=2)
    if interpolation == "nearest":
        return read[:, :, :-1]
    before, after = tf.cast(read[:, :, :-1], tf.float32), tf.cast(read[:, :, 1:], tf.float32)
    return tf.cast(before + (offsets - whole)[:, :, None, None] * (after - before), tf.uint8)


def shear_y(images: tf.Tensor, slopes: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Shear images along y, as `shear_x` does along x."""
    return _transpose(shear_x(_transpose(images), slopes, interpolation))


def warp(images: tf.Tensor, inverse: tf.Tensor, interpolation: str, fill: str) -> tf.Tensor:
    """Return warped images, uint8.

    Args:
        images: uint8 (batch, height, width, channels).
        inverse: float32 (batch, 2, 3), from a pixel (column, row) of the result to its source in
            the image, both relative to the center.
        interpolation: `nearest` or `bilinear`.
        fill: `constant` (black), `reflect` (mirrored at the edge) or `nearest` (the border pixel
            repeated).
    """
    height, width = images.shape[1:3]
    center = tf.constant([(width - 1) / 2, (height - 1) / 2])
    linear, shift = inverse[:, :, :2], inverse[:, :, 2:]
    # Not a matrix product, which some GPUs round to ten bits: a tenth of a pixel.
    shift += center[:, None] - tf.reduce_sum(linear * center, axis=2, keepdims=True)
    transforms = tf.pad(tf.reshape(tf.concat([linear, shift], axis=2), [-1, 6]), [[0, 0], [0, 2]])
    results = []
    for chunk, chunk_transforms in _split_batch(images, transforms):
        # float32 takes a tenth less time; the levels are truncated at the end, as Pillow does.
        pixels = chunk if interpolation == "nearest" else tf.cast(chunk, tf.float32)
        result = tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels,
            transforms=chunk_transforms,
            output_shape=[height, width],
            fill_value=0.0,
            interpolation=interpolation.upper(),
            fill_mode=FILLS[fill],
        )
        results.append(tf.cast(result, tf.uint8))
    return tf.ensure_shape(tf.concat(results, axis=0), images.shape)


def _split_batch(images: tf.Tensor, transforms: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Split a batch into chunks that stay in the cache until they are bytes again.

    There are at least four, to occupy several cores. A batch whose size is unknown until the graph
    runs is one of many groups, which occupy them anyway: it stays whole.
    """
    count = images.shape[0]
    if count is None:
        return [(images, transforms)]
    rows = max(1, min(count_images_in_cache(images), count // 4))
    return [
        (images[first : first + rows], transforms[first : first + rows])
        for first in range(0, max(1, count), rows)
    ]


def compute_inverse_matrix(
    degrees: tf.Tensor, shear: tf.Tensor, scale: tf.Tensor, right: tf.Tensor, down: tf.Tensor
) -> tf.Tensor:
    """Return the inverse of: shear along x, scale, rotate clockwise, shift.

    All arguments are float32 (batch,), the result is (batch, 2, 3).

    Args:
        degrees, shear: angles in degrees.
        right, down: pixels.
    """
    angle, slope = degrees * (math.pi / 180), tf.tan(shear * (math.pi / 180))
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    # After the inverse shift: the inverse rotation and scale, then the inverse shear.
    a, b, c, d = cosine + slope * sine, sine - slope * cosine, -sine, cosine
    rows = [a, b, -(a * right + b * down), c, d, -(c * right + d * down)]
    return tf.reshape(tf.stack(rows, axis=1), [-1, 2, 3])


def compute_rotation(degrees: tf.Tensor) -> tf.Tensor:
    """Return the inverse matrix of a clockwise rotation."""
    angle = degrees * (math.pi / 180)
    cosine, sine, zero = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle)
    return tf.reshape(tf.stack([cosine, sine, zero, -sine, cosine, zero], axis=1), [-1, 2, 3])


def _transpose(images: tf.Tensor) -> tf.Tensor:
    return tf.transpose(images, [0, 2, 1, 3])
