"""Class folders: classes of which a split holds no image, as where a folder is missing in test/.
The labels of the others never shift.

Light zone.
"""

from imgcls.checks import AuditedData, CheckSettings, Finding, format_count, format_names
from imgcls.datasets import SPLITS


class Settings(CheckSettings):
    """The settings of class folders."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the classes that are missing, for each split that has images."""
    found = []
    for split in SPLITS:
        counts = audited.class_counts(split)
        missing = [
            name
            for name, count in zip(audited.store.classes, counts.tolist(), strict=True)
            if not count
        ]
        if counts.any() and missing:
            found.append(
                Finding(
                    f"{format_count(len(missing), 'class')} without an image in {split}:"
                    f" {format_names(missing)}",
                    len(missing),
                )
            )
    return found
