"""Pad each side, then crop the image's size at random (He et al., 2016, section 4.2).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "crop"


class Settings(AugmentationSettings):
    """The crop's settings."""

    padding: Annotated[int, Field(ge=1)] = 4
    """Pixels added to each side before the crop."""
    fill: Literal["constant", "reflect", "nearest"] = "constant"
    """What fills them: zeros, the image mirrored without its border pixel, or the nearest pixel."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Shift each image by up to `padding` pixels along each axis."""
    from imgcls.augmentations._bytes import make_box_mask
    from imgcls.backend import tf

    padding = settings.padding
    height, width, channels = images.shape[1:]
    down, right = random.integers(-padding, padding + 1), random.integers(-padding, padding + 1)
    rows, columns = tf.range(height) + down[:, None], tf.range(width) + right[:, None]
    shifted = tf.gather(images, _clip_indices(rows, height, settings.fill), axis=1, batch_dims=1)
    shifted = tf.gather(shifted, _clip_indices(columns, width, settings.fill), axis=2, batch_dims=1)
    if settings.fill != "constant":
        return shifted
    heights, widths = (tf.fill([images.shape[0]], side) for side in (height, width))
    return tf.bitwise.bitwise_and(
        shifted, make_box_mask(-down, -right, heights, widths, [height, width, channels])
    )


def _clip_indices(index: "tf.Tensor", size: int, fill: str) -> "tf.Tensor":
    """Map indices up to `padding` outside the image to those of the pixels that fill it."""
    from imgcls.backend import tf

    if fill == "reflect":
        index = tf.abs(index)
        index = (size - 1) - tf.abs((size - 1) - index)
    return tf.clip_by_value(index, 0, size - 1)
