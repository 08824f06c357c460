"""Convert some RGB images to grayscale (Chen et al., 2020, appendix A).

https://arxiv.org/abs/2002.05709. Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, Fraction, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "grey"


class Settings(AugmentationSettings):
    """The conversion's settings."""

    probability: Fraction = 0.2
    """Fraction of the images that are converted."""

    def needs_rgb(self) -> str:
        """Return what to do with other images."""
        return "remove it"


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Replace all three channels by the luma, in each image with the given probability."""
    from imgcls.augmentations._groups import apply_in_groups, identity
    from imgcls.augmentations._tones import to_grayscale
    from imgcls.backend import tf

    chosen = random.uniform(0.0, 1.0) < settings.probability
    return apply_in_groups([identity, to_grayscale], tf.cast(chosen, tf.int32), images)
