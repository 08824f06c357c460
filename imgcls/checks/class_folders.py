"""Class folders: classes without images in a split, such as a folder missing from test/, and names
that differ only in case.

The labels of the other classes never shift.

Light zone.
"""

from collections import Counter

from imgcls.checks import AuditedData, Finding, ReportingSettings, format_count
from imgcls.datasets import SPLITS
from imgcls.io.terminal import format_some


class Settings(ReportingSettings):
    """The settings of class folders."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the names that differ only in case, and the classes without images in each split that
    has any.
    """
    found = _find_names_in_other_case(audited.store.classes)
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


def _find_names_in_other_case(classes: list[str]) -> list[Finding]:
    folded = [name.casefold() for name in classes]
    counts = Counter(folded)
    same = sorted(
        (name for name, form in zip(classes, folded, strict=True) if counts[form] > 1),
        key=str.casefold,
    )
    message = f"{format_count(len(same), 'class')} whose names differ only in case, and which are"
    return [Finding(f"{message} not merged: {format_some(same)}", len(same))] if same else []
