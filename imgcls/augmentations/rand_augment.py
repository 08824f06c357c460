"""RandAugment: random operations for each image, all at one magnitude (Cubuk et al., 2020).

Section 3 of the paper. Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "rand_augment"


class Settings(AugmentationSettings):
    """RandAugment's settings."""

    num_ops: Annotated[int, Field(ge=1, le=100)] = 2
    """How many operations are applied to an image, one after the other."""
    magnitude: Annotated[float, Field(ge=0, le=30)] = 9.0
    """How strong each is, out of 30."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Apply random operations to each image, in a random direction, as torchvision does.

    Warps read the nearest pixel, and are black outside the image.
    """
    from imgcls.augmentations._groups import apply_in_sequence
    from imgcls.augmentations._operations import ALL, Space
    from imgcls.backend import tf

    right, down = (150 / 331 * side for side in (images.shape[2], images.shape[1]))
    space = Space(0.3, right, down, degrees=30.0, enhance=0.9, bits=(8, 4), interpolation="nearest")
    signs, choices = zip(
        *[
            (2 * random.integers(0, 2) - 1, random.integers(0, len(ALL)))
            for _ in range(settings.num_ops)
        ],
        strict=True,
    )
    levels = settings.magnitude / 30 * tf.cast(tf.stack(signs, axis=1), tf.float32)
    return apply_in_sequence(
        [getattr(space, name) for name in ALL], tf.stack(choices, axis=1), images, levels
    )
