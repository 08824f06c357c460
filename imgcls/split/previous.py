"""Earlier split assignments, so that adding images moves none that were there before. Light zone.

All splits of a store whose names begin with the same `lookup.compute_assignment_key` assign an
image to the same split, whatever their other settings; so do those of other versions of the data
set, for the images that they share.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.datasets import SPLITS, DataSettings
from imgcls.errors import DataError
from imgcls.split.pool import UNASSIGNED
from imgcls.store import lookup
from imgcls.store.split_file import UNUSED, Split
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True, eq=False)
class PreviousSplit:
    """The earlier assignments of a store's images, matched by their ids.

    Attributes:
        assignments: int64 (count,): as in `Split`, or `UNASSIGNED` for a new image.
        folds: int64 (count,): the fold, from 1, or 0.
        used: bool (count,): whether the image was used, despite `data.max_images`.
        folder: of the store that had this split; None if there is no earlier split.
    """

    assignments: "numpy.ndarray"
    folds: "numpy.ndarray"
    used: "numpy.ndarray"
    folder: Path | None

    def count_unchanged(self, split: Split) -> int:
        """Return how many of a split's images are in the same split, or fold, as before."""
        import numpy

        same = split.assignments == self.assignments
        if split.folds is not None:
            same |= (split.folds > 0) & (split.folds == self.folds)
        return int(numpy.count_nonzero(same & (split.assignments < UNUSED)))


def make_empty_split(count: int) -> PreviousSplit:
    """Return a `PreviousSplit` of `count` images, all new."""
    import numpy

    return PreviousSplit(
        numpy.full(count, UNASSIGNED),
        numpy.zeros(count, numpy.int64),
        numpy.zeros(count, bool),
        None,
    )


def find_previous(store: Store, data: DataSettings, seed: int) -> PreviousSplit:
    """Return the assignments of another split of this store, or else of the store prepared last.

    Every earlier split has the folds of all images, but only one with the same test fold has the
    validation images.

    Raises:
        DataError: such a split, or its store, is damaged.
    """
    earlier = make_empty_split(store.count)
    for other, split in _iterate_splits(store, data, seed):
        # Folds come from the newest split; train, validation and test only from one with the same
        # test fold.
        if earlier.folder is None:
            earlier = _match(store, other, split)
        if data.fold_numbers is None or split.test_fold == data.fold_numbers[0]:
            return replace(_match(store, other, split), folds=earlier.folds, folder=earlier.folder)
    return replace(earlier, assignments=make_empty_split(store.count).assignments)


def _iterate_splits(store: Store, data: DataSettings, seed: int) -> Iterator[tuple[Store, Split]]:
    """Yield splits with the same assignments, and their stores: this store's, then the newest."""
    key, start = lookup.compute_split_key(data, seed), lookup.compute_assignment_key(data, seed)
    stores = lookup.find_stores_with_split(store.folder.parent, start)
    for other in sorted(stores, key=lambda other: other.fingerprint != store.fingerprint):
        for each in other.list_split_keys(start):
            if (other.fingerprint, each) == (store.fingerprint, key):
                continue  # the one to assign
            try:
                other.verify()
                yield other, other.read_split(each)
            except DataError as error:
                raise DataError(
                    f"{error}; images must stay in the splits of {other.get_split_file(each)}:"
                    " restore it, or delete it to split again"
                ) from None


def _match(store: Store, other: Store, split: Split) -> PreviousSplit:
    """Return the assignments of this store's images in a split of this or another store."""
    import numpy

    used = numpy.zeros(other.count, bool)
    used[numpy.concatenate([split.get_indices(name) for name in SPLITS])] = True
    _, here, there = numpy.intersect1d(
        store.id_bytes, other.id_bytes, assume_unique=True, return_indices=True
    )
    earlier = replace(make_empty_split(store.count), folder=other.folder)
    earlier.assignments[here], earlier.used[here] = split.assignments[there], used[there]
    if split.folds is not None:
        earlier.folds[here] = split.folds[there]
    return earlier
