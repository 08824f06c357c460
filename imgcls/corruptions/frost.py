"""Frost: ice crystals on the lens, in front of a darker image. Light zone.

Hendrycks and Dietterich, 2019; their frost is photographs, this one is needles of ice that grow in
six directions, where clouds of noise are dense.
"""

import math
from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

IMAGE = (0.95, 0.85, 0.75, 0.68, 0.62)
"""The weight of the image, by severity."""
ICE = (0.35, 0.50, 0.62, 0.72, 0.82)
"""The weight of the ice, by severity."""
NEEDLE, SEEDS = 40.0, 0.02
"""Length of a needle in pixels, to which three are added; the fraction of pixels that grow one."""
TINT = (0.86, 0.94, 1.0)
"""The color of ice in RGB."""


class Settings(PartSettings):
    """Frost has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Lay ice over the image."""
    import numpy

    ice = make_ice(image.shape, _pixels.get_scale(image), generator)[:, :, None]
    color = numpy.array(TINT if image.shape[2] == 3 else [1.0], numpy.float32)
    return (
        numpy.float32(IMAGE[severity - 1]) * image + numpy.float32(ICE[severity - 1]) * ice * color
    )


def make_ice(
    shape: tuple[int, ...], scale: float, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Return a texture of ice, float32 (height, width) from 0 to 1."""
    import numpy

    density = _pixels.make_clouds(shape, 1.5, generator)
    first = generator.uniform(0, math.pi / 3)
    needles = numpy.zeros(shape[:2], numpy.float32)
    for turn in range(3):  # a line and its other half are two of the six directions
        seeds = (generator.random((*shape[:2], 1)) < SEEDS).astype(numpy.float32)
        length = NEEDLE * scale + 3
        kernel = _pixels.make_line_kernel(length, first + turn * math.pi / 3)
        grown = _pixels.convolve(seeds, kernel / kernel.max())[:, :, 0]
        needles = numpy.maximum(needles, numpy.minimum(grown, 1))
    return numpy.clip(0.75 * density + 0.5 * needles * density, 0, 1)
