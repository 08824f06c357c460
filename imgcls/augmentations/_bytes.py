"""Masking and rounding of uint8 images, which TensorFlow's own operations do slowly. Heavy zone."""

import math

from imgcls.backend import tf

FLOATS_IN_CACHE = 2**20
"""Numbers that are worked on at once: 4 MB of float32."""


def count_images_in_cache(images: tf.Tensor) -> int:
    """Return how many images, as float32, fit into the CPU's cache; 0 if not even one does."""
    return FLOATS_IN_CACHE // math.prod(images.shape[1:])


def round_to_bytes(values: tf.Tensor) -> tf.Tensor:
    """Return float32 levels within 0..255 as uint8, rounded to nearest, halves up."""
    return tf.cast(values + 0.5, tf.uint8)


def clip_to_bytes(values: tf.Tensor) -> tf.Tensor:
    """Return float32 clipped to 0..255, in one pass; `tf.clip_by_value` takes two."""
    return tf.raw_ops.ClipByValue(t=values, clip_value_min=0.0, clip_value_max=255.0)


def make_box_mask(
    tops: tf.Tensor, lefts: tf.Tensor, heights: tf.Tensor, widths: tf.Tensor, shape: list[int]
) -> tf.Tensor:
    """Return a mask per image, 255 inside its box and 0 outside: uint8, shaped like the batch.

    Args:
        tops, lefts, heights, widths: int32 (batch,); boxes are clipped to the image.
        shape: height, width and channels of an image.
    """
    height, width, channels = shape
    rows, columns = tf.range(height), tf.repeat(tf.range(width), channels)
    rows = (rows >= tops[:, None]) & (rows < (tops + heights)[:, None])
    columns = (columns >= lefts[:, None]) & (columns < (lefts + widths)[:, None])
    mask = tf.bitwise.bitwise_and(_to_mask(rows)[:, :, None], _to_mask(columns)[:, None, :])
    return tf.reshape(mask, [-1, height, width, channels])


def paste(mask: tf.Tensor, pasted: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Return `pasted` where the mask is 255 and `images` where it is 0; all uint8, of one shape."""
    different = tf.bitwise.bitwise_xor(pasted, images)
    return tf.bitwise.bitwise_xor(images, tf.bitwise.bitwise_and(different, mask))


def _to_mask(condition: tf.Tensor) -> tf.Tensor:
    return tf.cast(condition, tf.uint8) * 255
