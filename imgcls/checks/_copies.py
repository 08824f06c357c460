"""Copies of images within a split and across splits: what to report, and which one to keep.

One image of each group is kept: in the test split if any is there, else in validation, else in
train, and of these the first by id. So evaluation does not change, and no copy of what is evaluated
is trained on.

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.checks import EXAMPLES, AuditedData, Finding, format_count
from imgcls.datasets import SPLITS

if TYPE_CHECKING:
    import numpy

_TRAIN, _VALIDATION, _TEST = range(3)


def find_copies(audited: AuditedData, group: "numpy.ndarray", kind: str) -> list[Finding]:
    """Return a finding of copies within splits, and one of copies across splits, if any.

    Args:
        group: int64, a number for each image of `audited.indices`, equal for copies of one image.
        kind: such as "an exact copy", for the messages.
    """
    import numpy

    chosen = numpy.flatnonzero(numpy.bincount(group)[group] > 1)
    if not len(chosen):
        return []
    ids = audited.store.get_ids(audited.indices[chosen])
    numbers, splits = group[chosen].tolist(), audited.assignments[chosen].tolist()
    order = sorted(range(len(chosen)), key=lambda i: (numbers[i], -splits[i], ids[i]))
    members = chosen[order]
    split, (first, number) = audited.assignments[members], _find_groups(group[members])
    sorted_ids = [ids[i] for i in order]
    elsewhere = split != split[first][number]
    crosses = numpy.bincount(number, elsewhere)[number] > 0
    dropped = first[number] != numpy.arange(len(members))
    indices = audited.indices[members]
    found = []
    repeats = _find_repeats(number, split)
    if repeats.any():
        examples = _collect_examples(sorted_ids, number, numpy.isin(number, number[repeats]))
        found.append(
            Finding(
                _describe_within(split, repeats, kind),
                int(repeats.sum()),
                examples,
                indices[dropped & ~elsewhere],
            )
        )
    if crosses.any():
        message, count = _describe_across(number, split, kind)
        found.append(
            Finding(
                message, count, _collect_examples(sorted_ids, number, crosses), indices[elsewhere]
            )
        )
    return found


def _find_groups(sorted_numbers: "numpy.ndarray") -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return the first member of each group, and the group of each member, counted from 0."""
    import numpy

    new = numpy.concatenate([[True], sorted_numbers[1:] != sorted_numbers[:-1]])
    return numpy.flatnonzero(new), numpy.cumsum(new) - 1


def _find_repeats(number: "numpy.ndarray", split: "numpy.ndarray") -> "numpy.ndarray":
    """Tell for each member whether an earlier one of its group is in the same split."""
    import numpy

    repeats = numpy.zeros(len(number), bool)
    repeats[1:] = (number[1:] == number[:-1]) & (split[1:] == split[:-1])
    return repeats


def _describe_within(split: "numpy.ndarray", repeats: "numpy.ndarray", kind: str) -> str:
    counts = {name: int((repeats & (split == i)).sum()) for i, name in enumerate(SPLITS)}
    where = ", ".join(f"{count:,} in {name}" for name, count in counts.items() if count)
    total = sum(counts.values())
    return (
        f"{format_count(total, 'image')} {'repeats' if total == 1 else 'repeat'} another of the"
        f" same split as {kind}: {where}"
    )


def _describe_across(number: "numpy.ndarray", split: "numpy.ndarray", kind: str) -> tuple[str, int]:
    """Return a message about held-out images with a copy in another split, and their number."""
    import numpy

    has = numpy.zeros((3, number[-1] + 1), bool)
    has[split, number] = True
    counts = []
    for held_out, seen in ((_TEST, _TRAIN), (_VALIDATION, _TRAIN), (_TEST, _VALIDATION)):
        count = int(((split == held_out) & has[seen][number]).sum())
        if count:
            counts.append(f"{count:,} of {SPLITS[held_out]} in {SPLITS[seen]}")
    leaked = ((split == _TEST) & (has[_TRAIN] | has[_VALIDATION])[number]) | (
        (split == _VALIDATION) & has[_TRAIN][number]
    )
    count = int(leaked.sum())
    return (
        (
            f"LEAKAGE: {format_count(count, 'held-out image')} with {kind} in another split:"
            f" {', '.join(counts)}"
        ),
        count,
    )


def _collect_examples(
    ids: list[str], number: "numpy.ndarray", chosen: "numpy.ndarray"
) -> list[list[str]]:
    """Return the ids of the first chosen groups, together at most `EXAMPLES`."""
    import numpy

    examples: dict[int, list[str]] = {}
    for i in numpy.flatnonzero(chosen)[:EXAMPLES].tolist():
        examples.setdefault(int(number[i]), []).append(ids[i])
    return [group for group in examples.values() if len(group) > 1]
