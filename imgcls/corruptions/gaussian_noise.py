"""Gaussian noise: each value plus a normal one, as in low light. Light zone.

Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

STDS = (0.08, 0.12, 0.18, 0.26, 0.38)
"""The std of the noise, by severity."""


class Settings(PartSettings):
    """Gaussian noise has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Add noise."""
    import numpy

    noise = generator.standard_normal(image.shape, dtype=numpy.float32)
    return image + noise * numpy.float32(STDS[severity - 1] * _pixels.get_noise_scale(image))
