"""Impulse noise: some values become black or white, as by faulty bits. Light zone.

Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

FRACTIONS = (0.03, 0.06, 0.09, 0.17, 0.27)
"""The fraction of the values that are replaced, by severity."""


class Settings(PartSettings):
    """Impulse noise has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Replace values, half of them by 0 and half by 1."""
    import numpy

    fraction = FRACTIONS[severity - 1] * _pixels.get_noise_scale(image)
    replaced = generator.random(image.shape) < fraction
    white = generator.random(image.shape) < 0.5
    return numpy.where(replaced, white, image).astype(numpy.float32)
