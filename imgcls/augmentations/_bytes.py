"""Operations on the bytes of images that TensorFlow does slowly: choosing by a mask, and rounding.
Heavy zone.
"""

import math

from imgcls.backend import tf

CACHED = 2**20
"""Numbers that are worked on at once: 4 MB of float32."""


def count_in_cache(images: tf.Tensor) -> int:
    """Return how many images, as float32, stay in the cache between the steps of a computation; 0
    where not even one does.
    """
    return CACHED // math.prod(images.shape[1:])


def round_to_bytes(values: tf.Tensor) -> tf.Tensor:
    """Return float32 grey levels that lie in 0..255 as uint8, rounded to the nearest, halves up."""
    return tf.cast(values + 0.5, tf.uint8)


def clip_to_bytes(values: tf.Tensor) -> tf.Tensor:
    """Return float32 clipped to 0..255, in one pass where `tf.clip_by_value` takes two."""
    return tf.raw_ops.ClipByValue(t=values, clip_value_min=0.0, clip_value_max=255.0)


def choose_images(condition: tf.Tensor, those: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Return whole images of `those` where the condition, bool (batch,), holds, and of `others`
    elsewhere.

    As copies of whole rows, it takes a tenth of the time of `tf.where`.
    """
    batch = tf.shape(others)[0]
    return tf.gather(
        tf.concat([others, those], axis=0), tf.range(batch) + tf.where(condition, batch, 0)
    )


def make_box_mask(
    tops: tf.Tensor, lefts: tf.Tensor, heights: tf.Tensor, widths: tf.Tensor, shape: list[int]
) -> tf.Tensor:
    """Return where each image's box lies: uint8 (batch, height, width, channels), 255 inside and 0
    outside.

    Args:
        tops, lefts, heights, widths: int32 (batch,); what lies outside the image is cut.
        shape: height, width and channels of an image.
    """
    height, width, channels = shape
    rows, columns = tf.range(height), tf.repeat(tf.range(width), channels)
    rows = (rows >= tops[:, None]) & (rows < (tops + heights)[:, None])
    columns = (columns >= lefts[:, None]) & (columns < (lefts + widths)[:, None])
    mask = tf.bitwise.bitwise_and(_to_mask(rows)[:, :, None], _to_mask(columns)[:, None, :])
    return tf.reshape(mask, [-1, height, width, channels])


def paste(mask: tf.Tensor, those: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Return `those` where the mask is 255 and `others` where it is 0; all uint8 (batch, height,
    width, channels).
    """
    different = tf.bitwise.bitwise_xor(those, others)
    return tf.bitwise.bitwise_xor(others, tf.bitwise.bitwise_and(different, mask))


def _to_mask(condition: tf.Tensor) -> tf.Tensor:
    return tf.cast(condition, tf.uint8) * 255
