"""Imbalance: some classes have many times as many training images as others (Buda, Maki and
Mazurowski, 2018, section 2: the ratio rho).

Light zone.
"""

from typing import Annotated

from pydantic import Field

from imgcls.checks import AuditedData, Finding, ReportingSettings
from imgcls.io.terminal import format_some


class Settings(ReportingSettings):
    """The settings of imbalance."""

    ratio: Annotated[float, Field(ge=1)] = 10.0
    """Largest ratio of the training images of the largest class to those of the smallest."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the classes, other than empty ones, that are more than `ratio` times smaller."""
    counts = audited.count_classes("train")
    largest, smallest = counts.max(), counts[counts > 0].min()
    small = [
        audited.store.classes[i]
        for i in counts.argsort(kind="stable").tolist()
        if 0 < counts[i] * settings.ratio < largest
    ]
    if not small:
        return []
    message = (
        f"the largest class, {audited.store.classes[counts.argmax()]}, has {largest / smallest:.1f}"
        " times as many training images as the smallest; classes more than"
        f" {settings.ratio:g} times smaller: {format_some(small)}"
    )
    return [Finding(message, len(small))]
