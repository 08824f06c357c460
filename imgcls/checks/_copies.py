"""Copies of images: which of them stays, and what is said of those within a split and across
splits. Light zone.

One image of each group stays: in the test split if the group has any there, else in validation,
else in train, and of that split the first by id. So what is evaluated stays as it was, and no copy
of it is trained on.
"""

from typing import TYPE_CHECKING

from imgcls.checks import EXAMPLES, AuditedData, Finding, format_count
from imgcls.datasets import SPLITS

if TYPE_CHECKING:
    import numpy

_TRAIN, _VALIDATION, _TEST = range(3)


def find_copies(audited: AuditedData, group: "numpy.ndarray", kind: str) -> list[Finding]:
    """Return what is found of copies within each split, and of copies across splits.

    Args:
        group: int64, for each image of `audited.indices`: copies of one image have one number.
        kind: such as "an exact copy", for the messages.
    """
    import numpy

    chosen = numpy.flatnonzero(numpy.bincount(group)[group] > 1)
    if not len(chosen):
        return []
    ids = audited.store.ids(audited.indices[chosen])
    numbers, places = group[chosen].tolist(), audited.places[chosen].tolist()
    order = sorted(range(len(chosen)), key=lambda i: (numbers[i], -places[i], ids[i]))
    members = chosen[order]
    place, (first, number) = audited.places[members], _find_groups(group[members])
    sorted_ids = [ids[i] for i in order]
    crosses = numpy.bincount(number, place != place[first][number])[number] > 0
    dropped, elsewhere = first[number] != numpy.arange(len(members)), place != place[first][number]
    indices = audited.indices[members]
    found = []
    repeats = _find_repeats(number, place)
    if repeats.any():
        examples = _collect_examples(sorted_ids, number, numpy.isin(number, number[repeats]))
        found.append(
            Finding(
                _describe_within(place, repeats, kind),
                int(repeats.sum()),
                examples,
                indices[dropped & ~elsewhere],
            )
        )
    if crosses.any():
        message, count = _describe_across(number, place, kind)
        found.append(
            Finding(
                message, count, _collect_examples(sorted_ids, number, crosses), indices[elsewhere]
            )
        )
    return found


def _find_groups(sorted_numbers: "numpy.ndarray") -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return where each group begins, and the group of each member, counted from 0."""
    import numpy

    new = numpy.concatenate([[True], sorted_numbers[1:] != sorted_numbers[:-1]])
    return numpy.flatnonzero(new), numpy.cumsum(new) - 1


def _find_repeats(number: "numpy.ndarray", place: "numpy.ndarray") -> "numpy.ndarray":
    """Tell of each member whether one before it in its group is of the same split."""
    import numpy

    repeats = numpy.zeros(len(number), bool)
    repeats[1:] = (number[1:] == number[:-1]) & (place[1:] == place[:-1])
    return repeats


def _describe_within(place: "numpy.ndarray", repeats: "numpy.ndarray", kind: str) -> str:
    counts = {name: int((repeats & (place == i)).sum()) for i, name in enumerate(SPLITS)}
    where = ", ".join(f"{count:,} in {name}" for name, count in counts.items() if count)
    total = sum(counts.values())
    return (
        f"{format_count(total, 'image')} {'repeats' if total == 1 else 'repeat'} another of the"
        f" same split as {kind}: {where}"
    )


def _describe_across(number: "numpy.ndarray", place: "numpy.ndarray", kind: str) -> tuple[str, int]:
    """Say which held-out images have a copy in a split that they should be new to; and count
    them.
    """
    import numpy

    has = numpy.zeros((3, number[-1] + 1), bool)
    has[place, number] = True
    parts = []
    for held_out, seen in ((_TEST, _TRAIN), (_VALIDATION, _TRAIN), (_TEST, _VALIDATION)):
        count = int(((place == held_out) & has[seen][number]).sum())
        if count:
            parts.append(f"{count:,} of {SPLITS[held_out]} in {SPLITS[seen]}")
    leaked = ((place == _TEST) & (has[_TRAIN] | has[_VALIDATION])[number]) | (
        (place == _VALIDATION) & has[_TRAIN][number]
    )
    count = int(leaked.sum())
    return (
        (
            f"LEAKAGE: {format_count(count, 'held-out image')} with {kind} in another split:"
            f" {', '.join(parts)}"
        ),
        count,
    )


def _collect_examples(
    ids: list[str], number: "numpy.ndarray", chosen: "numpy.ndarray"
) -> list[list[str]]:
    """Return the ids of the first groups that are chosen, together at most `EXAMPLES`."""
    import numpy

    examples: dict[int, list[str]] = {}
    for i in numpy.flatnonzero(chosen)[:EXAMPLES].tolist():
        examples.setdefault(int(number[i]), []).append(ids[i])
    return [group for group in examples.values() if len(group) > 1]
