"""Pad every side, then crop back at a random place: a shift by up to `padding` pixels (He et al.,
2016, section 4.2).

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
    """Pixels added to every side before the crop."""
    fill: Literal["constant", "reflect", "nearest"] = "constant"
    """What the added pixels show: zeros, the image mirrored without its border pixel, or the border
    pixel repeated.
    """


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Shift each image by a random number of pixels up to `padding`, along both axes."""
    from imgcls.augmentations._bytes import make_box_mask
    from imgcls.backend import tf

    padding = settings.padding
    height, width, channels = images.shape[1:]
    down, right = random.integers(-padding, padding + 1), random.integers(-padding, padding + 1)
    rows, columns = tf.range(height) + down[:, None], tf.range(width) + right[:, None]
    moved = tf.gather(images, _clip_indices(rows, height, settings.fill), axis=1, batch_dims=1)
    moved = tf.gather(moved, _clip_indices(columns, width, settings.fill), axis=2, batch_dims=1)
    if settings.fill != "constant":
        return moved
    sizes = [tf.fill([images.shape[0]], side) for side in (height, width)]
    return tf.bitwise.bitwise_and(
        moved, make_box_mask(-down, -right, *sizes, [height, width, channels])
    )


def _clip_indices(index: "tf.Tensor", size: int, fill: str) -> "tf.Tensor":
    """Bring indices that lie up to `padding` outside back into 0, ..., size - 1."""
    from imgcls.backend import tf

    if fill == "reflect":
        index = tf.abs(index)
        index = (size - 1) - tf.abs((size - 1) - index)
    return tf.clip_by_value(index, 0, size - 1)
