"""What corruptions share: scales, blurs, and textures. Light zone."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

REFERENCE = 224
"""The shorter side in pixels of the images for which strengths are given."""
NOISE_EXPONENT = 0.35
"""Noise of single pixels hides more of a small image: at 32x32, its strength is halved."""


def get_scale(image: "numpy.ndarray") -> float:
    """Return the shorter side of an image, as a multiple of `REFERENCE`."""
    return min(image.shape[:2]) / REFERENCE


def get_noise_scale(image: "numpy.ndarray") -> float:
    """Return the factor on the strength of noise, 0.48 at 28x28 and 1 at 224x224."""
    return float(get_scale(image) ** NOISE_EXPONENT)


def map_channels(
    function: "Callable[[numpy.ndarray], numpy.ndarray]", image: "numpy.ndarray"
) -> "numpy.ndarray":
    """Return an image to each of whose channels, (height, width), a function was applied."""
    import numpy

    channels = [function(numpy.ascontiguousarray(image[:, :, i])) for i in range(image.shape[2])]
    return numpy.stack(channels, axis=2).astype(numpy.float32)


def blur(image: "numpy.ndarray", std: float) -> "numpy.ndarray":
    """Return an image after a Gaussian blur; edges are reflected.

    Args:
        std: in pixels, above 0.
    """
    import cv2

    return map_channels(lambda channel: cv2.GaussianBlur(channel, (0, 0), std), image)


def convolve(image: "numpy.ndarray", kernel: "numpy.ndarray") -> "numpy.ndarray":
    """Return an image after a filter, float32 (side, side); edges are reflected."""
    import cv2

    return map_channels(lambda channel: cv2.filter2D(channel, -1, kernel), image)


def displace(image: "numpy.ndarray", shifts: "numpy.ndarray") -> "numpy.ndarray":
    """Return an image whose pixels are taken from displaced places, bilinear; edges are reflected.

    Args:
        shifts: down and right, in pixels, float32 (2, height, width).
    """
    import cv2
    import numpy

    height, width = image.shape[:2]
    rows, columns = numpy.mgrid[:height, :width].astype(numpy.float32) + shifts
    return map_channels(
        lambda channel: cv2.remap(
            channel, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        ),
        image,
    )


def make_line_kernel(length: float, angle: float) -> "numpy.ndarray":
    """Return a filter that averages along a line, float32 (side, side), whose sum is 1.

    Args:
        length: in pixels, of any fraction.
        angle: in radians.
    """
    import numpy

    radius = math.ceil(length / 2) + 1
    along = numpy.linspace(-length / 2, length / 2, 8 * math.ceil(length) + 1)
    kernel = numpy.zeros((2 * radius + 1, 2 * radius + 1), numpy.float32)
    rows, columns = radius + along * math.sin(angle), radius + along * math.cos(angle)
    top, left = numpy.floor(rows).astype(int), numpy.floor(columns).astype(int)
    down, right = rows - top, columns - left
    for i, by_row in ((0, 1 - down), (1, down)):
        for j, by_column in ((0, 1 - right), (1, right)):
            numpy.add.at(kernel, (top + i, left + j), by_row * by_column)
    return kernel / kernel.sum()


def make_clouds(
    shape: tuple[int, ...], roughness: float, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Return a random texture with detail of all sizes, float32 (height, width) from 0 to 1.

    White noise, whose amplitude is divided by the frequency to the power of `roughness`: at 1.5, it
    looks like clouds, below like rock, above like smoke.
    """
    import numpy

    noise = generator.standard_normal(shape[:2], dtype=numpy.float32)
    rows, columns = numpy.fft.fftfreq(shape[0]), numpy.fft.rfftfreq(shape[1])
    frequency = numpy.hypot(rows[:, None], columns[None])
    frequency[0, 0] = numpy.inf
    field = numpy.fft.irfft2(numpy.fft.rfft2(noise) / frequency**roughness, s=shape[:2])
    low, high = field.min(), field.max()
    return ((field - low) / max(high - low, 1e-12)).astype(numpy.float32)
