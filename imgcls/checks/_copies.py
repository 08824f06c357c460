"""Copies of images within a split and across splits: what to report, and which one to keep.

One image of each group is kept: in the test split if any is there, else in validation, else in
train, and of these the first by id. So evaluation does not change, and no copy of what is evaluated
is trained on.

Light zone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgcls.checks import AuditedData, Finding, format_count
from imgcls.datasets import SPLITS

if TYPE_CHECKING:
    import numpy

_TRAIN, _VALIDATION, _TEST = range(3)


@dataclass(frozen=True, eq=False)
class _Copies:
    """The images that have copies, group by group, each group beginning with the one to keep.

    Attributes:
        indices: of the images in the store, int64 (n,).
        splits: the split of each image, uint8 (n,) indices into `SPLITS`.
        kept: for each image, the position here of the one of its group to keep, int64 (n,); also
            serves as the number of the group.
    """

    indices: "numpy.ndarray"
    splits: "numpy.ndarray"
    kept: "numpy.ndarray"

    @property
    def elsewhere(self) -> "numpy.ndarray":
        """Whether each image is in another split than the kept one of its group, bool (n,)."""
        return self.splits != self.splits[self.kept]


def find_copies(audited: AuditedData, group: "numpy.ndarray", kind: str) -> list[Finding]:
    """Return a finding of copies within splits, and one of copies across splits, if any.

    Args:
        group: int64, a number for each image of `audited.indices`, equal for copies of one image.
        kind: such as "an exact copy", for the messages.
    """
    copies = _sort_copies(audited, group)
    return [
        *_find_within_splits(audited, copies, kind),
        *_find_across_splits(audited, copies, kind),
    ]


def _sort_copies(audited: AuditedData, group: "numpy.ndarray") -> _Copies:
    import numpy

    copied = numpy.flatnonzero(numpy.bincount(group)[group] > 1)
    ids = audited.store.get_ids(audited.indices[copied])
    numbers, splits = group[copied].tolist(), audited.assignments[copied].tolist()
    order = sorted(range(len(copied)), key=lambda i: (numbers[i], -splits[i], ids[i]))
    members = copied[order]
    return _Copies(
        audited.indices[members],
        audited.assignments[members],
        kept=numpy.searchsorted(group[members], group[members]),
    )


def _find_within_splits(audited: AuditedData, copies: _Copies, kind: str) -> list[Finding]:
    """Return a finding of the images with a copy earlier in the same split, if any."""
    import numpy

    repeats = _find_repeats(copies)
    if not repeats.any():
        return []
    counts = numpy.bincount(copies.splits[repeats], minlength=len(SPLITS)).tolist()
    where = ", ".join(
        f"{count:,} in {name}" for name, count in zip(SPLITS, counts, strict=True) if count
    )
    total = sum(counts)
    message = (
        f"{format_count(total, 'image')} {'repeats' if total == 1 else 'repeat'} another of the"
        f" same split as {kind}: {where}"
    )
    shown = numpy.isin(copies.kept, copies.kept[repeats])
    examples = audited.collect_examples(copies.indices[shown], copies.kept[shown])
    is_kept = copies.kept == numpy.arange(len(copies.kept))
    return [Finding(message, total, examples, copies.indices[~is_kept & ~copies.elsewhere])]


def _find_repeats(copies: _Copies) -> "numpy.ndarray":
    """Return, for each image, whether an earlier one of its group is in the same split, bool (n,).

    Images of one split are neighbors in their group.
    """
    import numpy

    repeats = numpy.zeros(len(copies.kept), bool)
    repeats[1:] = (copies.kept[1:] == copies.kept[:-1]) & (copies.splits[1:] == copies.splits[:-1])
    return repeats


def _find_across_splits(audited: AuditedData, copies: _Copies, kind: str) -> list[Finding]:
    """Return a finding of the held-out images with a copy in another split, if any."""
    import numpy

    if not copies.elsewhere.any():
        return []
    has = numpy.zeros((len(SPLITS), len(copies.kept)), bool)
    has[copies.splits, copies.kept] = True
    leaked, counts = numpy.zeros(len(copies.kept), bool), []
    for held_out, seen in ((_TEST, _TRAIN), (_VALIDATION, _TRAIN), (_TEST, _VALIDATION)):
        in_both = (copies.splits == held_out) & has[seen, copies.kept]
        leaked |= in_both
        if in_both.any():
            counts.append(f"{in_both.sum():,} of {SPLITS[held_out]} in {SPLITS[seen]}")
    count = int(leaked.sum())
    message = (
        f"LEAKAGE: {format_count(count, 'held-out image')} with {kind} in another split:"
        f" {', '.join(counts)}"
    )
    shown = numpy.isin(copies.kept, copies.kept[copies.elsewhere])
    examples = audited.collect_examples(copies.indices[shown], copies.kept[shown])
    return [Finding(message, count, examples, copies.indices[copies.elsewhere], leakage=True)]
