"""Elastic transform: neighborhoods of the image are stretched and squeezed at random. Light zone.

Simard et al., 2003; Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

SHIFTS = (0.010, 0.015, 0.021, 0.028, 0.036)
"""The root mean square displacement along each axis, as a fraction of the shorter side, by
severity."""
SMOOTHNESS = 0.06
"""The std of the blur that makes neighbors move together, as a fraction of the shorter side."""


class Settings(PartSettings):
    """Elastic transform has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Displace pixels by a smooth random field."""
    import numpy

    height, width = image.shape[:2]
    side = min(height, width)
    noise = generator.standard_normal((height, width, 2), dtype=numpy.float32)
    field = _pixels.blur(noise, max(SMOOTHNESS * side, 0.5))
    rms = numpy.sqrt((field**2).mean()) + numpy.float32(1e-12)
    shifts = field.transpose(2, 0, 1) * (numpy.float32(SHIFTS[severity - 1] * side) / rms)
    return _pixels.displace(image, shifts)
