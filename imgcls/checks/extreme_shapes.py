"""Extreme shapes: images so long, tiny or huge that little of them is left at the model's size.

Light zone.
"""

from typing import Annotated

from pydantic import Field

from imgcls.checks import AuditedData, CheckSettings, Finding


class Settings(CheckSettings):
    """The settings of extreme shapes."""

    aspect_ratio: Annotated[float, Field(ge=1)] = 4.0
    """Largest ratio of the longer side to the shorter one."""
    smallest_side: Annotated[int, Field(ge=1)] = 8
    """Smallest length of the shorter side, in pixels."""
    megapixels: Annotated[float, Field(gt=0)] = 50.0
    """Largest number of pixels, in millions."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the long, tiny and huge images separately."""
    import numpy

    sides = numpy.stack(
        [audited.image_statistics["height"], audited.image_statistics["width"]]
    ).astype(numpy.float64)
    short, long = sides.min(axis=0), sides.max(axis=0)
    return [
        *audited.make_finding(
            f"more than {settings.aspect_ratio:g} times as long as wide",
            long > settings.aspect_ratio * short,
        ),
        *audited.make_finding(
            f"with a side of fewer than {settings.smallest_side} pixels",
            short < settings.smallest_side,
            "tiny image",
        ),
        *audited.make_finding(
            f"of more than {settings.megapixels:g} megapixels",
            short * long > settings.megapixels * 1e6,
            "huge image",
        ),
    ]
