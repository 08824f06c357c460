"""Glass blur: pixels are taken from random places nearby, as behind frosted glass. Light zone.

Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

DISTANCES = (1.0, 1.6, 2.4, 3.4, 4.8)
"""The largest displacement along each axis in pixels, by severity; 0.4 pixels are added."""
BLUR = 0.3
"""The std of the blur that follows, relative to the displacement."""


class Settings(PartSettings):
    """Glass blur has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Displace each pixel by itself, and blur."""
    import numpy

    distance = DISTANCES[severity - 1] * _pixels.get_scale(image) + 0.4
    shifts = generator.uniform(-1, 1, (2, *image.shape[:2])).astype(numpy.float32)
    return _pixels.blur(_pixels.displace(image, shifts * numpy.float32(distance)), BLUR * distance)
