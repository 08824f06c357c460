"""Unreadable images: empty, truncated, damaged and oversized files, told apart; `data.on_bad_image`
says whether they end `prepare`.

Light zone.
"""

from typing import Literal

from imgcls.checks import EXAMPLES, AuditedData, CheckSettings, Finding, format_count


class Settings(CheckSettings):
    """The settings of unreadable images."""

    policy: Literal["note"] = "note"
    """Images that cannot be read are in no split; data.on_bad_image: fail or skip is their
    policy.
    """


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the images that the store had to leave out, a finding for each kind of damage."""
    kinds: dict[str, list[str]] = {}
    for image in audited.store.manifest.bad_images:
        kinds.setdefault(_kind(image.problem), []).append(image.id)
    return [
        Finding(
            f"{format_count(len(ids), 'image')} left out: {kind}",
            len(ids),
            [[name] for name in ids[:EXAMPLES]],
        )
        for kind, ids in sorted(kinds.items())
    ]


def _kind(problem: str) -> str:
    """Return what a problem of one image has in common with others of its kind."""
    if "truncated" in problem:
        return "truncated"
    for mark in (" (", ":", ",", ";"):
        problem = problem.partition(mark)[0]
    return problem
