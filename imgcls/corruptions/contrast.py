"""Contrast: the differences from the mean of each channel shrink. Light zone.

Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

FACTORS = (0.4, 0.3, 0.2, 0.1, 0.05)
"""The factor on the differences, by severity."""


class Settings(PartSettings):
    """Contrast has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Shrink the differences."""
    import numpy

    mean = image.mean(axis=(0, 1), keepdims=True)
    return (image - mean) * numpy.float32(FACTORS[severity - 1]) + mean
