"""Pixelate: the image is shrunk, and enlarged again without smoothing. Light zone.

Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

FRACTIONS = (0.6, 0.5, 0.4, 0.3, 0.25)
"""The side of the shrunk image as a fraction, by severity; of small images, it is larger."""


class Settings(PartSettings):
    """Pixelate has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Shrink by averages over areas, and repeat pixels."""
    import cv2

    height, width = image.shape[:2]
    # At 28x28, 0.6 becomes 0.83 and 0.25 becomes 0.61: small images have little to lose.
    fraction = FRACTIONS[severity - 1] ** (_pixels.get_scale(image) ** 0.5)
    small = max(1, round(width * fraction)), max(1, round(height * fraction))

    def pixelate(channel: "numpy.ndarray") -> "numpy.ndarray":
        shrunk = cv2.resize(channel, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    return _pixels.map_channels(pixelate, image)
