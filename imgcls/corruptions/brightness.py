"""Brightness: the brightest channel of each pixel is raised, as in too much light. Light zone.

Hendrycks and Dietterich, 2019. Hue and saturation (HSV) of colors stay.
"""

from typing import TYPE_CHECKING

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

LIFTS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""How much is added to the brightest channel, by severity."""


class Settings(PartSettings):
    """Brightness has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Raise the value of HSV, which is the largest channel, and scale the others with it."""
    import numpy

    value = image.max(axis=2, keepdims=True)
    raised = numpy.minimum(value + numpy.float32(LIFTS[severity - 1]), 1)
    hue = numpy.divide(image, value, out=numpy.ones_like(image), where=value > 0)
    return hue * raised
