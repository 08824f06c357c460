"""Defocus blur: each point becomes a disk, as out of focus. Light zone.

Hendrycks and Dietterich, 2019.
"""

import math
from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

RADII = (3.0, 4.0, 6.0, 8.0, 10.0)
"""The radius of the disk in pixels, by severity; at 224 pixels, half a pixel more."""
SAMPLES = 8
"""Points along each side of a pixel, by which the fraction of it inside the disk is counted."""


class Settings(PartSettings):
    """Defocus blur has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Average over the disk around each pixel."""
    # A disk inside one pixel would blur nothing, so half a pixel is added.
    radius = RADII[severity - 1] * _pixels.get_scale(image) + 0.5
    return _pixels.convolve(image, make_disk(radius))


def make_disk(radius: float) -> "numpy.ndarray":
    """Return the fraction of each pixel inside a disk, float32 (side, side), whose sum is 1."""
    import numpy

    half = math.ceil(radius)
    points = (numpy.arange((2 * half + 1) * SAMPLES) + 0.5) / SAMPLES - half - 0.5
    inside = numpy.hypot(points[:, None], points[None]) <= radius
    blocks = inside.reshape(2 * half + 1, SAMPLES, 2 * half + 1, SAMPLES).sum(axis=(1, 3))
    return (blocks / blocks.sum()).astype(numpy.float32)
