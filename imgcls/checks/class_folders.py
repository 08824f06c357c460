"""Class folders: classes without images in a split, such as a folder that is missing from test/.

The labels of the other classes never shift.

Light zone.
"""

from imgcls.checks import AuditedData, Finding, ReportingSettings, format_count
from imgcls.datasets import SPLITS
from imgcls.io.terminal import format_some


class Settings(ReportingSettings):
    """The settings of class folders."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the classes without images, for each split that has any."""
    found = []
    for split in SPLITS:
        counts = audited.count_classes(split)
        missing = [
            name
            for name, count in zip(audited.store.classes, counts.tolist(), strict=True)
            if not count
        ]
        if counts.any() and missing:
            found.append(
                Finding(
                    f"{format_count(len(missing), 'class')} without images in {split}:"
                    f" {format_some(missing)}",
                    len(missing),
                )
            )
    return found
