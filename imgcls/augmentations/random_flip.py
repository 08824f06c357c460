"""Horizontal flip (Krizhevsky et al., 2012, section 4.1); not for digits and letters.

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, Fraction, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "flip"


class Settings(AugmentationSettings):
    """The flip's settings."""

    probability: Fraction = 0.5
    """Fraction of the images that are flipped."""


def draw_flips(settings: Settings, random: RandomParameters) -> "tf.Tensor":
    """Draw which images are flipped, bool (batch,)."""
    return random.uniform(0.0, 1.0) < settings.probability


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Flip each image left to right with the given probability."""
    from imgcls.augmentations._bytes import choose_images
    from imgcls.backend import tf

    return choose_images(draw_flips(settings, random), tf.reverse(images, axis=[2]), images)
