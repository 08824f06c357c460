"""Motion blur: an average along a line in a random direction, as of a moving camera. Light zone.

Hendrycks and Dietterich, 2019.
"""

import math
from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

LENGTHS = (10.0, 15.0, 20.0, 26.0, 34.0)
"""The length of the line in pixels, by severity; a pixel is added."""


class Settings(PartSettings):
    """Motion blur has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Average along the line."""
    length = LENGTHS[severity - 1] * _pixels.get_scale(image) + 1
    angle = generator.uniform(0, math.pi)
    return _pixels.convolve(image, _pixels.make_line_kernel(length, angle))
