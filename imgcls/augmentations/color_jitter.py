"""Change brightness, contrast, saturation and hue (Howard, 2013, https://arxiv.org/abs/1312.5402,
section 2), in this order.

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, Fraction, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "colour"


class Settings(AugmentationSettings):
    """The change's settings; 0 leaves a quantity alone. The factors are Pillow's: 1 changes
    nothing, 0 takes all of it away.
    """

    brightness: Fraction = 0.4
    """How far the factor of the brightness may lie from 1."""
    contrast: Fraction = 0.4
    """How far the factor of the contrast may lie from 1."""
    saturation: Fraction = 0.4
    """How far the factor of the saturation may lie from 1; RGB images only."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest turn of the colour circle, of which 0.5 is half; RGB images only."""

    def needs_rgb(self) -> str | None:
        """Return what to do with other images."""
        return "set its saturation and hue to 0" if self.saturation or self.hue else None


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Change each image by factors, and by a turn, of its own."""
    from imgcls.augmentations import _tones

    for change, most in (
        (_tones.adjust_brightness, settings.brightness),
        (_tones.adjust_contrast, settings.contrast),
        (_tones.adjust_saturation, settings.saturation),
    ):
        if most:
            images = change(images, random.uniform(1 - most, 1 + most))
    return (
        _tones.adjust_hue(images, random.uniform(-settings.hue, settings.hue))
        if settings.hue
        else images
    )
