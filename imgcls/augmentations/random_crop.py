"""Pad each side, then crop the image's size at random (He et al., 2016, section 4.2).

Light zone.
"""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "crop"


class Settings(AugmentationSettings):
    """The crop's settings."""

    padding: Annotated[int, Field(ge=1, le=16_384)] = 4
    """Pixels added to each side before the crop."""
    fill: Literal["constant", "reflect", "nearest"] = "constant"
    """What fills them: zeros, the image mirrored without its border pixel, or the nearest pixel."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Shift each image by up to `padding` pixels along each axis."""
    from imgcls.augmentations._groups import apply_in_groups
    from imgcls.augmentations._warps import shift_down
    from imgcls.backend import tf

    padding, height = settings.padding, images.shape[1]
    down, right = random.integers(-padding, padding + 1), random.integers(-padding, padding + 1)
    # Copying runs of columns takes a tenth of the time of gathering pixels.
    shifts = [
        partial(_read_columns, first=first, fill=settings.fill)
        for first in range(-padding, padding + 1)
    ]
    shifted = apply_in_groups(shifts, right + padding, images)
    if settings.fill == "constant":
        return shift_down(shifted, -down)
    rows = _clip_indices(tf.range(height) + down[:, None], height, settings.fill)
    return tf.gather(shifted, rows, axis=1, batch_dims=1)


def _read_columns(images: "tf.Tensor", first: int, fill: str) -> "tf.Tensor":
    """Return columns first, ..., first + width - 1; those outside the images are filled."""
    from imgcls.backend import tf

    batch, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    columns = range(first, first + width)
    sides = [[c for c in columns if c < 0], [c for c in columns if c >= width]]
    if fill == "constant":
        left, right = (tf.zeros([batch, height, len(side), channels], tf.uint8) for side in sides)
    else:
        left, right = (
            tf.gather(images, _clip_indices(tf.constant(side, tf.int32), width, fill), axis=2)
            for side in sides
        )
    inside = images[:, :, max(0, first) : max(0, first + width)]
    return tf.concat([left, inside, right], axis=2)


def _clip_indices(index: "tf.Tensor", size: int, fill: str) -> "tf.Tensor":
    """Map indices up to `padding` outside the image to those of the pixels that fill it."""
    from imgcls.backend import tf

    if fill == "reflect":
        index = tf.abs(index)
        index = (size - 1) - tf.abs((size - 1) - index)
    return tf.clip_by_value(index, 0, size - 1)
