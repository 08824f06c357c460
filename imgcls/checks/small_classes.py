"""Small classes: classes with few images to train on. Light zone."""

from typing import Annotated

from pydantic import Field

from imgcls.checks import AuditedData, CheckSettings, Finding, format_count, format_names


class Settings(CheckSettings):
    """The settings of small classes."""

    images: Annotated[int, Field(ge=1)] = 10
    """Training images that a class should have at least."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the classes with fewer training images."""
    counts = zip(audited.store.classes, audited.class_counts("train").tolist(), strict=True)
    small = [f"{name} {count}" for name, count in counts if count < settings.images]
    message = (
        f"{format_count(len(small), 'class')} with fewer than {settings.images} training images:"
        f" {format_names(small)}"
    )
    return [Finding(message, len(small))] if small else []
