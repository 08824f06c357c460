"""Crop a random area and aspect ratio, enlarged to the image's size (Szegedy et al., 2015).

Section 6 of the paper. Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, PositiveRange, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "random_resized_crop"


class Settings(AugmentationSettings):
    """The crop's settings."""

    scale: PositiveRange = [0.08, 1.0]
    """Smallest and largest fraction of the image's area; the largest central crop if none fits."""
    ratio: PositiveRange = [3 / 4, 4 / 3]
    """Smallest and largest aspect ratio, width / height."""


def draw_crops(
    settings: Settings, random: RandomParameters, heights: "tf.Tensor", widths: "tf.Tensor"
) -> "tf.Tensor":
    """Draw a crop inside each image, as torchvision does, which also gives up after ten.

    Args:
        heights, widths: of the images, int32 (batch,).

    Returns:
        int32 (batch, 4): top, left, height, width.
    """
    from imgcls.augmentations._boxes import draw_boxes
    from imgcls.backend import tf

    boxes, fits = draw_boxes(settings.scale, settings.ratio, random, heights, widths)
    height, width = (tf.cast(each, tf.float32) for each in (heights, widths))
    low, high = settings.ratio
    inner_height = tf.maximum(tf.cast(tf.round(tf.minimum(height, width / low)), tf.int32), 1)
    inner_width = tf.maximum(tf.cast(tf.round(tf.minimum(width, height * high)), tf.int32), 1)
    central = tf.stack(
        [(heights - inner_height) // 2, (widths - inner_width) // 2, inner_height, inner_width],
        axis=1,
    )
    return tf.where(fits[:, None], boxes, central)


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Enlarge a crop of each image, bilinearly.

    A crop is never larger than the image, so it needs no antialiasing.
    """
    from imgcls.augmentations._bytes import round_to_bytes
    from imgcls.backend import tf

    sizes = [tf.fill([images.shape[0]], side) for side in images.shape[1:3]]
    tops, lefts, heights, widths = tf.unstack(draw_crops(settings, random, *sizes), axis=1)
    # Gathering rows copies them whole, which is fast: so the image is transposed for the columns.
    by_row = _enlarge(images, tops, heights)
    by_column = _enlarge(tf.transpose(by_row, [0, 2, 1, 3]), lefts, widths)
    return round_to_bytes(tf.transpose(by_column, [0, 2, 1, 3]))


def _enlarge(pixels: "tf.Tensor", starts: "tf.Tensor", lengths: "tf.Tensor") -> "tf.Tensor":
    """Stretch rows starts, ..., starts + lengths - 1 to the whole axis after the batch.

    Returns:
        float32, shaped like `pixels`.
    """
    from imgcls.backend import tf

    size = pixels.shape[1]
    # Positions are counted in integers, in units of 1 / (2 * size): TensorFlow reorders products
    # and sums of floats in steps, but not in tf.data.
    centers = (2 * tf.range(size) + 1) * lengths[:, None] + (2 * starts[:, None] - 1) * size
    before = centers // (2 * size)
    fractions = tf.cast(centers % (2 * size), tf.float32) * (1 / (2 * size))
    lower, upper = (
        tf.cast(
            tf.gather(pixels, tf.clip_by_value(row, 0, size - 1), axis=1, batch_dims=1),
            tf.float32,
        )
        for row in (before, before + 1)
    )
    return lower + fractions[:, :, None, None] * (upper - lower)
