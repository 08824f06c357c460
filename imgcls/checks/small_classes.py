"""Small classes: classes with few images to train on."""

from typing import Annotated

from pydantic import Field

from imgcls.checks import Audited, CheckSettings, Finding, counted, named


class Settings(CheckSettings):
    """The settings of small classes."""

    images: Annotated[int, Field(ge=1)] = 10
    """Training images that a class should have at least."""


def find(settings: Settings, audited: Audited) -> list[Finding]:
    """Return the classes with fewer training images."""
    counts = zip(audited.store.classes, audited.class_counts("train").tolist(), strict=True)
    small = [f"{name} {count}" for name, count in counts if count < settings.images]
    message = f"{counted(len(small), 'class')} with fewer than {settings.images} training images: {named(small)}"
    return [Finding(message, len(small))] if small else []
