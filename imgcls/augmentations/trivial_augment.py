"""TrivialAugment: one operation for each image, at a random magnitude, over wide ranges (Müller and
Hutter, 2021, table 1).

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

SHIFT = 32.0
"""Pixels, of images of any size, as in the paper."""

RANDOM_KEY = "trivial_augment"


class Settings(AugmentationSettings):
    """TrivialAugment has no settings of its own: that is its point."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Apply to each image an operation of its own, in either direction: nearest pixel, black
    outside.
    """
    from imgcls.augmentations._operations import ALL, Space, apply_per_image
    from imgcls.backend import tf

    space = Space(
        0.99, SHIFT, SHIFT, degrees=135.0, enhance=0.99, bits=(8, 6), interpolation="nearest"
    )
    levels = tf.cast(random.integers(0, 31) * (2 * random.integers(0, 2) - 1), tf.float32) / 30
    return apply_per_image(
        [getattr(space, name) for name in ALL],
        random.integers(0, len(ALL))[:, None],
        images,
        levels[:, None],
    )
