"""Animated images: files with several frames, of which the model sees the first.

Light zone.
"""

from imgcls.checks import AuditedData, CheckSettings, Finding


class Settings(CheckSettings):
    """The settings of animated images."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the images with several frames."""
    return audited.make_finding(
        "of which the first frame is used", audited.image_statistics["frames"] > 1, "animated image"
    )
