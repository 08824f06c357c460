"""Mixed formats: grayscale among color images, 16 bits among 8, transparent among opaque ones.

A model may learn the camera from such differences. Only headers are compared: a color file with
nothing but gray pixels counts as color.

Light zone.
"""

from imgcls.checks import AuditedData, Finding, ReportingSettings


class Settings(ReportingSettings):
    """The settings of mixed formats."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the images of the rarer kind, for each of the three differences."""
    import numpy

    statistics, found = audited.image_statistics, []
    kinds = [
        (statistics["grayscale"], "in grayscale among color ones", "in color among grayscale ones"),
        (
            numpy.char.startswith(statistics["mode"], b"I;16"),
            "of 16 bits among those of 8",
            "of 8 bits among those of 16",
        ),
        (
            numpy.isin(statistics["mode"], [b"LA", b"PA", b"RGBA"]),
            "with transparency among opaque ones",
            "opaque among transparent ones",
        ),
    ]
    for is_one, fewer, more in kinds:
        if is_one.any() and not is_one.all():
            found += (
                audited.make_finding(fewer, is_one)
                if is_one.mean() <= 0.5
                else audited.make_finding(more, ~is_one)
            )
    return found
