"""Cut out a window of random area and shape, and enlarge it to the image's size (Szegedy et al.,
2015, section 6).

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, PositiveRange, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "random_resized_crop"


class Settings(AugmentationSettings):
    """The crop's settings."""

    scale: PositiveRange = [0.08, 1.0]
    """Least and largest share of the image's area; where no window fits, the largest in the middle
    is taken.
    """
    ratio: PositiveRange = [3 / 4, 4 / 3]
    """Least and largest width over height."""


def draw_crops(
    settings: Settings, random: RandomParameters, heights: "tf.Tensor", widths: "tf.Tensor"
) -> "tf.Tensor":
    """Draw a window inside each image, as torchvision does, whose loop until one fits ends after
    ten too.

    Args:
        heights, widths: of the images, int32 (batch,).

    Returns:
        int32 (batch, 4): top, left, height, width.
    """
    from imgcls.augmentations._boxes import draw_boxes
    from imgcls.backend import tf

    drawn, fits = draw_boxes(settings.scale, settings.ratio, random, heights, widths)
    height, width = (tf.cast(each, tf.float32) for each in (heights, widths))
    low, high = settings.ratio
    inner_height = tf.maximum(tf.cast(tf.round(tf.minimum(height, width / low)), tf.int32), 1)
    inner_width = tf.maximum(tf.cast(tf.round(tf.minimum(width, height * high)), tf.int32), 1)
    central = tf.stack(
        [(heights - inner_height) // 2, (widths - inner_width) // 2, inner_height, inner_width],
        axis=1,
    )
    return tf.where(fits[:, None], drawn, central)


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Enlarge a window of each image, bilinearly: no window is larger than the image, so that none
    needs antialiasing.
    """
    from imgcls.augmentations._bytes import round_to_bytes
    from imgcls.backend import tf

    sizes = [tf.fill([images.shape[0]], side) for side in images.shape[1:3]]
    tops, lefts, heights, widths = tf.unstack(draw_crops(settings, random, *sizes), axis=1)
    # Along its first axis an image is a list of rows, which are copied whole: so it is turned for
    # the columns.
    by_row = _enlarge(images, tops, heights)
    by_column = _enlarge(tf.transpose(by_row, [0, 2, 1, 3]), lefts, widths)
    return round_to_bytes(tf.transpose(by_column, [0, 2, 1, 3]))


def _enlarge(pixels: "tf.Tensor", starts: "tf.Tensor", lengths: "tf.Tensor") -> "tf.Tensor":
    """Return float32 shaped like `pixels`, in which rows starts, ..., starts + lengths - 1 fill the
    axis after the batch.
    """
    from imgcls.backend import tf

    size = pixels.shape[1]
    steps = tf.cast(lengths, tf.float32) / size
    places = (
        tf.cast(starts, tf.float32)[:, None]
        + (tf.range(size, dtype=tf.float32) + 0.5) * steps[:, None]
        - 0.5
    )
    before = tf.floor(places)
    lower, upper = (
        tf.cast(
            tf.gather(
                pixels, tf.clip_by_value(tf.cast(row, tf.int32), 0, size - 1), axis=1, batch_dims=1
            ),
            tf.float32,
        )
        for row in (before, before + 1)
    )
    return lower + (places - before)[:, :, None, None] * (upper - lower)
