"""Small classes: classes with few training images. Light zone."""

from typing import Annotated

from pydantic import Field

from imgcls.checks import AuditedData, Finding, ReportingSettings, format_count
from imgcls.io.terminal import format_some


class Settings(ReportingSettings):
    """The settings of small classes."""

    images: Annotated[int, Field(ge=1)] = 10
    """Smallest number of training images that a class should have."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the classes with fewer training images."""
    counts = zip(audited.store.classes, audited.count_classes("train").tolist(), strict=True)
    small = [f"{name} {count}" for name, count in counts if count < settings.images]
    message = (
        f"{format_count(len(small), 'class')} with fewer than {settings.images} training images:"
        f" {format_some(small)}"
    )
    return [Finding(message, len(small))] if small else []
