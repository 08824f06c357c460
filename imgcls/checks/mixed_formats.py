"""Mixed channels and depths: grey among colour, 16 bits among 8, transparency among opaque images.
A model may learn the camera by them.

Told from the headers alone: a colour file that shows nothing but grey counts as colour.

Light zone.
"""

from imgcls.checks import AuditedData, CheckSettings, Finding


class Settings(CheckSettings):
    """The settings of mixed formats."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the fewer of two kinds, for each of the three ways to differ."""
    import numpy

    looks, found = audited.image_statistics, []
    kinds = [
        (looks["grey"], "in grey among colour ones", "in colour among grey ones"),
        (
            numpy.char.startswith(looks["mode"], b"I;16"),
            "of 16 bits among those of 8",
            "of 8 bits among those of 16",
        ),
        (
            numpy.isin(looks["mode"], [b"LA", b"PA", b"RGBA"]),
            "with transparency among opaque ones",
            "opaque among transparent ones",
        ),
    ]
    for is_one, fewer, more in kinds:
        if is_one.any() and not is_one.all():
            found += (
                audited.images(fewer, is_one)
                if is_one.mean() <= 0.5
                else audited.images(more, ~is_one)
            )
    return found
