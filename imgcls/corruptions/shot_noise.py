"""Shot noise: each value is a count of photons, which is random for its mean (Poisson). Light zone.

Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

PHOTONS = (60, 25, 12, 5, 3)
"""The mean number of photons of a white pixel, by severity."""


class Settings(PartSettings):
    """Shot noise has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Draw the counts, and divide them by that of white."""
    import numpy

    # The std falls with the square root of the number of photons.
    photons = PHOTONS[severity - 1] / _pixels.get_noise_scale(image) ** 2
    return (generator.poisson(image * photons) / photons).astype(numpy.float32)
