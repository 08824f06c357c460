"""Fog: clouds of noise in front of the image, which lower its contrast. Light zone.

Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

DENSITIES = (0.8, 1.2, 1.6, 2.1, 2.8)
"""The weight of the fog relative to the image's, by severity."""
ROUGHNESS = 1.7
"""Of the clouds."""


class Settings(PartSettings):
    """Fog has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Add clouds, and scale the sum so that white stays white."""
    import numpy

    clouds = _pixels.make_clouds(image.shape, ROUGHNESS, generator)[:, :, None]
    density = numpy.float32(DENSITIES[severity - 1])
    return (image + density * clouds) / (1 + density)
