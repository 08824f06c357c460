"""Unreadable images: empty, truncated, damaged and oversized files.

`data.on_bad_image` decides whether they end `prepare`.

Light zone.
"""

from typing import Literal

from imgcls.checks import EXAMPLES, AuditedData, CheckSettings, Finding, format_count


class Settings(CheckSettings):
    """The settings of unreadable images."""

    policy: Literal["note"] = "note"
    """Only note: unreadable images are in no split, and data.on_bad_image is their policy."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the images that the store leaves out, with a finding for each kind of damage."""
    kinds: dict[str, list[str]] = {}
    for image in audited.store.manifest.bad_images:
        kinds.setdefault(_classify(image.problem), []).append(image.id)
    return [
        Finding(
            f"{format_count(len(ids), 'image')} left out: {kind}",
            len(ids),
            [[name] for name in ids[:EXAMPLES]],
        )
        for kind, ids in sorted(kinds.items())
    ]


def _classify(problem: str) -> str:
    """Return the kind of an image's problem, without its details."""
    if "truncated" in problem:
        return "truncated"
    for mark in (" (", ":", ",", ";"):
        problem = problem.partition(mark)[0]
    return problem
