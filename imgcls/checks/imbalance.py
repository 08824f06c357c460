"""Imbalance: some classes have many times the training images of others (Buda, Maki and Mazurowski,
2018, section 2: the ratio rho).

Light zone.
"""

from typing import Annotated

from pydantic import Field

from imgcls.checks import AuditedData, CheckSettings, Finding, format_names


class Settings(CheckSettings):
    """The settings of imbalance."""

    ratio: Annotated[float, Field(ge=1)] = 10.0
    """How many times the training images of the smallest class the largest one may have."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the classes that are smaller than the largest by more than the ratio; those without a
    training image are not counted.
    """
    counts = audited.class_counts("train")
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
        " times the training images of the"
    )
    return [
        Finding(
            f"{message} smallest; classes below a {settings.ratio:g}th of it:"
            f" {format_names(small)}",
            len(small),
        )
    ]
