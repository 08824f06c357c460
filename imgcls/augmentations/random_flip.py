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
    from imgcls.augmentations._groups import apply_in_groups, identity
    from imgcls.backend import tf

    return apply_in_groups(
        [identity, _mirror], tf.cast(draw_flips(settings, random), tf.int32), images
    )


def _mirror(images: "tf.Tensor") -> "tf.Tensor":
    """Flip all images; TensorFlow has a fast kernel for the rows of three-dimensional tensors."""
    from imgcls.backend import tf

    _, height, width, channels = images.shape
    rows = tf.reverse(tf.reshape(images, [-1, width, channels]), axis=[1])
    return tf.reshape(rows, [-1, height, width, channels])
