"""Affine warps of batches, with a matrix an image. Heavy zone."""

import math

from imgcls.backend import tf

FILLS = {"black": "CONSTANT", "reflect": "REFLECT", "edge": "NEAREST"}
"""What shows where a warp reads outside the image, with TensorFlow's names."""


def warped(images: tf.Tensor, inverse: tf.Tensor, interpolation: str, fill: str) -> tf.Tensor:
    """Return warped images, uint8.

    Args:
        images: uint8 (batch, height, width, channels).
        inverse: float32 (batch, 2, 3), from a pixel (column, row) of the result, counted from the centre, to the place in the image.
        interpolation: `nearest` or `bilinear`.
        fill: `black`, `reflect` (mirrored at the edge) or `edge` (the border pixel repeated).
    """
    height, width = images.shape[1:3]
    centre = tf.constant([(width - 1) / 2, (height - 1) / 2])
    turn, shift = inverse[:, :, :2], inverse[:, :, 2]
    shift += centre - tf.linalg.matvec(turn, centre)
    rows = tf.reshape(tf.concat([turn, shift[:, :, None]], axis=2), [-1, 6])
    # As float32, it takes a tenth less time; in the end the levels are cut off, as Pillow does.
    pixels = images if interpolation == "nearest" else tf.cast(images, tf.float32)
    result = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=tf.pad(rows, [[0, 0], [0, 2]]),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation=interpolation.upper(),
        fill_mode=FILLS[fill],
    )
    return tf.ensure_shape(tf.cast(result, tf.uint8), images.shape)


def inverse_matrix(degrees: tf.Tensor, shear: tf.Tensor, scale: tf.Tensor, right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
    """Return the inverse of: shear along x, scale, turn clockwise, shift. All float32 (batch,); the result (batch, 2, 3).

    Args:
        degrees, shear: angles in degrees.
        right, down: pixels.
    """
    angle, slope = degrees * (math.pi / 180), tf.tan(shear * (math.pi / 180))
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    # The inverse turn and scale, then the inverse shear.
    matrix = [[cosine + slope * sine, sine - slope * cosine], [-sine, cosine]]
    return _stacked(matrix, right, down)


def shear_x(slopes: tf.Tensor) -> tf.Tensor:
    """Return the inverse matrix of Pillow's shear: a row reads further right by slope times its place below the centre."""
    one, zero = tf.ones_like(slopes), tf.zeros_like(slopes)
    return _stacked([[one, slopes], [zero, one]], zero, zero)


def shear_y(slopes: tf.Tensor) -> tf.Tensor:
    """Return the inverse matrix of Pillow's shear along y."""
    one, zero = tf.ones_like(slopes), tf.zeros_like(slopes)
    return _stacked([[one, zero], [slopes, one]], zero, zero)


def translation(right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
    """Return the inverse matrix of a shift by pixels."""
    one, zero = tf.ones_like(right), tf.zeros_like(right)
    return _stacked([[one, zero], [zero, one]], right, down)


def rotation(degrees: tf.Tensor) -> tf.Tensor:
    """Return the inverse matrix of a clockwise turn."""
    one, zero = tf.ones_like(degrees), tf.zeros_like(degrees)
    return inverse_matrix(degrees, zero, one, zero, zero)


def _stacked(matrix: list[list[tf.Tensor]], right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
    """Return (batch, 2, 3): the matrix, after a shift back."""
    turn = tf.stack([tf.stack(row, axis=1) for row in matrix], axis=1)
    shift = -tf.linalg.matvec(turn, tf.stack([right, down], axis=1))
    return tf.concat([turn, shift[:, :, None]], axis=2)
