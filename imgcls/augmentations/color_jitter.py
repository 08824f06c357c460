"""Change brightness, contrast, saturation and hue, in this order (Howard, 2013, section 2).

https://arxiv.org/abs/1312.5402. Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, Fraction, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "colour"


class Settings(AugmentationSettings):
    """The color jitter's settings; 0 leaves a quantity unchanged.

    The factors are Pillow's: 1 changes nothing, 0 removes the quantity.
    """

    brightness: Fraction = 0.4
    """Largest distance of the brightness factor from 1."""
    contrast: Fraction = 0.4
    """Largest distance of the contrast factor from 1."""
    saturation: Fraction = 0.4
    """Largest distance of the saturation factor from 1; RGB images only."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest shift of the hue, as a fraction of the color circle; RGB images only."""

    def needs_rgb(self) -> str | None:
        """Return what to do with other images."""
        return "set its saturation and hue to 0" if self.saturation or self.hue else None


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Change each image by random factors, and a random hue shift, of its own."""
    from imgcls.augmentations import _tones

    for adjust, most in (
        (_tones.adjust_brightness, settings.brightness),
        (_tones.adjust_contrast, settings.contrast),
        (_tones.adjust_saturation, settings.saturation),
    ):
        if most:
            images = adjust(images, random.uniform(1 - most, 1 + most))
    return (
        _tones.adjust_hue(images, random.uniform(-settings.hue, settings.hue))
        if settings.hue
        else images
    )
