"""Animated images: files of more than one frame, of which the first is what the model sees."""

from imgcls.checks import Audited, DroppingSettings, Finding


class Settings(DroppingSettings):
    """The settings of animated images."""


def find(settings: Settings, audited: Audited) -> list[Finding]:
    """Return the images with several frames."""
    return audited.images("of which the first frame is used", audited.looks["frames"] > 1, "animated image")
