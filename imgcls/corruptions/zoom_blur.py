"""Zoom blur: the mean over enlargements of the image, as of a camera that moves fast toward it.
Light zone.

Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

FACTORS = (1.11, 1.16, 1.21, 1.26, 1.31)
"""The largest enlargement, by severity."""
STEPS = 11
"""Enlargements that are averaged, from 1 to the largest."""


class Settings(PartSettings):
    """Zoom blur has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Enlarge around the center, and average."""
    import numpy

    height, width = image.shape[:2]
    center = numpy.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    away = numpy.mgrid[:height, :width] - center
    total = numpy.zeros_like(image)
    for factor in numpy.linspace(1, FACTORS[severity - 1], STEPS):
        total += _pixels.displace(image, (away * (1 / factor - 1)).astype(numpy.float32))
    return total / numpy.float32(STEPS)
