"""JPEG compression: the image after it was saved as a JPEG of low quality. Light zone.

Hendrycks and Dietterich, 2019.
"""

from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

QUALITIES = (25, 18, 13, 9, 6)
"""The quality of libjpeg, 1..100, by severity; of small images, it is higher."""


class Settings(PartSettings):
    """JPEG compression has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Encode and decode; channels other than RGB are encoded each by itself."""
    import numpy

    # At 28x28, the qualities are 51 to 26.
    exponent = _pixels.get_noise_scale(image)
    quality = round(100 * (QUALITIES[severity - 1] / 100) ** exponent)
    levels = numpy.clip(numpy.rint(image * 255), 0, 255).astype(numpy.uint8)
    if image.shape[2] == 3:
        decoded = _encode(levels[:, :, ::-1], quality)[:, :, ::-1]  # OpenCV's order is BGR
        return decoded.astype(numpy.float32) / numpy.float32(255)
    return _pixels.map_channels(
        lambda channel: _encode(channel, quality).astype(numpy.float32) / numpy.float32(255), levels
    )


def _encode(levels: "numpy.ndarray", quality: int) -> "numpy.ndarray":
    """Return pixels after JPEG, uint8 of the same shape."""
    import cv2
    import numpy

    done, encoded = cv2.imencode(
        ".jpg", numpy.ascontiguousarray(levels), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if done else None
    if decoded is None:
        raise RuntimeError("this OpenCV has no JPEG codec")
    return decoded
