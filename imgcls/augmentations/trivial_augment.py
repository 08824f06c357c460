"""TrivialAugment: one random operation per image, at a random magnitude (Müller and Hutter, 2021).

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

SHIFT = 32.0
"""Largest shift in pixels, whatever the size of the image, as in table 1 of the paper."""

RANDOM_KEY = "trivial_augment"


class Settings(AugmentationSettings):
    """TrivialAugment has nothing to tune: that is its point."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Apply a random operation to each image, in a random direction.

    Warps read the nearest pixel, and are black outside the image.
    """
    from imgcls.augmentations._groups import apply_in_sequence
    from imgcls.augmentations._operations import ALL, Space
    from imgcls.backend import tf

    space = Space(
        0.99, SHIFT, SHIFT, degrees=135.0, enhance=0.99, bits=(8, 6), interpolation="nearest"
    )
    levels = tf.cast(random.integers(0, 31) * (2 * random.integers(0, 2) - 1), tf.float32) / 30
    return apply_in_sequence(
        [getattr(space, name) for name in ALL],
        random.integers(0, len(ALL))[:, None],
        images,
        levels[:, None],
    )
