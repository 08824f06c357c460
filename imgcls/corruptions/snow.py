"""Snow: white flakes that fall in one direction, in front of a paler image. Light zone.

Hendrycks and Dietterich, 2019; the flakes are blurred noise.
"""

import math
from typing import TYPE_CHECKING

from imgcls.corruptions import _pixels
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

COVERS = (0.04, 0.07, 0.11, 0.15, 0.20)
"""The fraction of the pixels in which a flake begins, by severity."""
PALENESS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""How far the image turns white, by severity."""
FLAKE, FALL = 2.0, 14.0
"""Size of a flake, and length of its fall, in pixels; a pixel and a half are added to the latter,
and half a pixel to the former."""


class Settings(PartSettings):
    """Snow has no settings."""


def corrupt(
    settings: Settings, image: "numpy.ndarray", severity: int, generator: "numpy.random.Generator"
) -> "numpy.ndarray":
    """Let flakes fall, and make the image paler."""
    import numpy

    scale = _pixels.get_scale(image)
    noise = generator.standard_normal((*image.shape[:2], 1), dtype=numpy.float32)
    angle = math.pi / 2 + generator.uniform(-0.6, 0.6)
    field = _pixels.blur(noise, FLAKE * scale + 0.5)
    flakes = (field > numpy.quantile(field, 1 - COVERS[severity - 1])).astype(numpy.float32)
    fallen = _pixels.convolve(flakes, _pixels.make_line_kernel(FALL * scale + 1.5, angle))
    pale = PALENESS[severity - 1]
    # Where the image is dark, snow lies in its place; where it is white, nothing changes.
    paler = image + numpy.float32(pale) * (1 - image) * numpy.float32(0.6)
    return paler + (1 - paler) * numpy.minimum(numpy.float32(1.6) * fallen, 1)
