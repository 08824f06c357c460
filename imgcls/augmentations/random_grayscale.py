"""Take the colours from some RGB images (Chen et al., 2020, https://arxiv.org/abs/2002.05709,
appendix A).

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, Fraction, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "grey"


class Settings(AugmentationSettings):
    """The settings of the loss of colours."""

    probability: Fraction = 0.2
    """Share of the images that turn grey."""

    def needs_rgb(self) -> str:
        """Return what to do with other images."""
        return "remove it"


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Replace all three channels by the luminance, in each image with the given probability."""
    from imgcls.augmentations import _tones
    from imgcls.augmentations._bytes import choose_images

    return choose_images(
        random.uniform(0.0, 1.0) < settings.probability, _tones.to_grayscale(images), images
    )
