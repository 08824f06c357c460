"""Horizontal flip (Krizhevsky et al., 2012, section 4.1). Wrong for things that read left to right, such as digits and letters."""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, Draws, Share

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "flip"


class Settings(AugmentationSettings):
    """The flip's settings."""

    probability: Share = 0.5
    """Share of the images that are flipped."""


def mirrored(settings: Settings, draws: Draws) -> "tf.Tensor":
    """Draw which images are flipped, bool (batch,)."""
    return draws.uniform(0.0, 1.0) < settings.probability


def compute(settings: Settings, images: "tf.Tensor", draws: Draws) -> "tf.Tensor":
    """Flip each image left to right with the given probability."""
    from imgcls.augmentations._bytes import chosen
    from imgcls.backend import tf

    return chosen(mirrored(settings, draws), tf.reverse(images, axis=[2]), images)
