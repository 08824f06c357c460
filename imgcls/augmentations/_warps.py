"""Affine warps of batches, with a matrix an image. Heavy zone."""

import math

from imgcls.augmentations._bytes import count_in_cache
from imgcls.backend import tf

FILLS = {"constant": "CONSTANT", "reflect": "REFLECT", "nearest": "NEAREST"}
"""What shows where a warp reads outside the image, with TensorFlow's names."""


def shift_right(images: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Return images moved by whole pixels, int32 (batch,), with black where there was none.

    Copying rows of a transposed image takes a fifth of the time of picking bytes out of its rows.
    """
    return _transpose(shift_down(_transpose(images), pixels))


def shift_down(images: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Return images moved by whole pixels, int32 (batch,), with black where there was none: a
    thirtieth of a warp's time.
    """
    height = images.shape[1]
    rows = tf.clip_by_value(tf.range(1, height + 1) - pixels[:, None], 0, height + 1)
    return tf.gather(tf.pad(images, [[0, 0], [1, 1], [0, 0], [0, 0]]), rows, axis=1, batch_dims=1)


def shear_x(images: tf.Tensor, slopes: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Return images whose rows read further right by slope, float32 (batch,), times their place
    below the centre; black outside.

    All pixels of a row lie between two neighbours by the same share, so that this takes half the
    time of a warp.
    """
    height, width = images.shape[1:3]
    right = slopes[:, None] * (tf.range(height, dtype=tf.float32) - (height - 1) / 2)
    whole = tf.floor(right + 0.5 if interpolation == "nearest" else right)
    columns = tf.cast(whole, tf.int32)[:, :, None] + tf.range(1, width + 2)
    black = tf.pad(images, [[0, 0], [0, 0], [1, 1], [0, 0]])
    read = tf.gather(black, tf.clip_by_value(columns, 0, width + 1), axis=2, batch_dims=2)
    if interpolation == "nearest":
        return read[:, :, :-1]
    left, next_to_it = tf.cast(read[:, :, :-1], tf.float32), tf.cast(read[:, :, 1:], tf.float32)
    return tf.cast(left + (right - whole)[:, :, None, None] * (next_to_it - left), tf.uint8)


def shear_y(images: tf.Tensor, slopes: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Return images whose columns read further down by slope times their place right of the
    centre.
    """
    return _transpose(shear_x(_transpose(images), slopes, interpolation))


def warp(images: tf.Tensor, inverse: tf.Tensor, interpolation: str, fill: str) -> tf.Tensor:
    """Return warped images, uint8.

    Args:
        images: uint8 (batch, height, width, channels).
        inverse: float32 (batch, 2, 3), from a pixel (column, row) of the result, counted from the
            centre, to the place in the image.
        interpolation: `nearest` or `bilinear`.
        fill: `constant` (black), `reflect` (mirrored at the edge) or `nearest` (the border pixel
            repeated).
    """
    height, width = images.shape[1:3]
    centre = tf.constant([(width - 1) / 2, (height - 1) / 2])
    turn, shift = inverse[:, :, :2], inverse[:, :, 2:]
    # A sum of products: a product of matrices rounds to ten bits on some GPUs, a tenth of a pixel.
    shift += centre[:, None] - tf.reduce_sum(turn * centre, axis=2, keepdims=True)
    transforms = tf.pad(tf.reshape(tf.concat([turn, shift], axis=2), [-1, 6]), [[0, 0], [0, 2]])
    done = []
    for piece, of_piece in _split_batch(images, transforms):
        # As float32, it takes a tenth less time; in the end the levels are cut off, as Pillow does.
        pixels = piece if interpolation == "nearest" else tf.cast(piece, tf.float32)
        result = tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels,
            transforms=of_piece,
            output_shape=[height, width],
            fill_value=0.0,
            interpolation=interpolation.upper(),
            fill_mode=FILLS[fill],
        )
        done.append(tf.cast(result, tf.uint8))
    return tf.ensure_shape(tf.concat(done, axis=0), images.shape)


def _split_batch(images: tf.Tensor, transforms: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Return parts of the batch whose numbers stay in the cache until they are bytes again, at
    least four, to occupy several cores.

    A group whose size only the graph knows stays whole: there, other groups occupy them.
    """
    count = images.shape[0]
    if count is None:
        return [(images, transforms)]
    rows = max(1, min(count_in_cache(images), count // 4))
    return [
        (images[first : first + rows], transforms[first : first + rows])
        for first in range(0, max(1, count), rows)
    ]


def compute_inverse_matrix(
    degrees: tf.Tensor, shear: tf.Tensor, scale: tf.Tensor, right: tf.Tensor, down: tf.Tensor
) -> tf.Tensor:
    """Return the inverse of: shear along x, scale, turn clockwise, shift. All float32 (batch,); the
    result (batch, 2, 3).

    Args:
        degrees, shear: angles in degrees.
        right, down: pixels.
    """
    angle, slope = degrees * (math.pi / 180), tf.tan(shear * (math.pi / 180))
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    # After a shift back: the inverse turn and scale, then the inverse shear.
    a, b, c, d = cosine + slope * sine, sine - slope * cosine, -sine, cosine
    rows = [a, b, -(a * right + b * down), c, d, -(c * right + d * down)]
    return tf.reshape(tf.stack(rows, axis=1), [-1, 2, 3])


def compute_rotation(degrees: tf.Tensor) -> tf.Tensor:
    """Return the inverse matrix of a clockwise turn."""
    angle = degrees * (math.pi / 180)
    cosine, sine, zero = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle)
    return tf.reshape(tf.stack([cosine, sine, zero, -sine, cosine, zero], axis=1), [-1, 2, 3])


def _transpose(images: tf.Tensor) -> tf.Tensor:
    return tf.transpose(images, [0, 2, 1, 3])
