"""What earlier preparations decided: images that are added later move none of those across that
were there before. Light zone.

The splits of one store whose names begin with the same `lookup.places_key` put every image on one
side, whatever else their settings say; so do those of other states of the data set, as far as these
have the same images.
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
    """Where earlier splits put the images of a store, by their ids.

    Attributes:
        sides: int64 (count,): as in `Split`, or `OPEN` for an image that no earlier split knew.
        folds: int64 (count,): the fold, from 1 on, or 0.
        used: bool (count,): whether `data.max_images` let the image be used.
        folder: of the store whose split this is; None where there is none.
    """

    assignments: "numpy.ndarray"
    folds: "numpy.ndarray"
    used: "numpy.ndarray"
    folder: Path | None

    def count_kept(self, split: Split) -> int:
        """Return how many of a split's images are where they were: on their side, or in their
        fold.
        """
        import numpy

        same = split.assignments == self.assignments
        if split.folds is not None:
            same |= (split.folds > 0) & (split.folds == self.folds)
        return int(numpy.count_nonzero(same & (split.assignments < UNUSED)))


def make_empty(count: int) -> PreviousSplit:
    """Return that no earlier split knew one of so many images."""
    import numpy

    return PreviousSplit(
        numpy.full(count, UNASSIGNED),
        numpy.zeros(count, numpy.int64),
        numpy.zeros(count, bool),
        None,
    )


def find_previous(store: Store, data: DataSettings, seed: int) -> PreviousSplit:
    """Return what was decided before: by another split of this store, or else by one of the store
    that was prepared last.

    Any split tells the folds of all images; which of the others are for validation, only one with
    the same fold as test split.

    Raises:
        DataError: such a split, or its store, is damaged.
    """
    earlier = make_empty(store.count)
    for other, split in _iterate_splits(store, data, seed):
        if earlier.folder is None:
            earlier = _match(store, other, split)
        if data.fold_numbers is None or split.test_fold == data.fold_numbers[0]:
            return replace(_match(store, other, split), folds=earlier.folds, folder=earlier.folder)
    return replace(earlier, assignments=make_empty(store.count).assignments)


def _iterate_splits(store: Store, data: DataSettings, seed: int) -> Iterator[tuple[Store, Split]]:
    """Yield the splits that put images where the wanted one is to put them, with their stores: this
    store's, then from the newest on.
    """
    key, start = lookup.compute_split_key(data, seed), lookup.compute_assignment_key(data, seed)
    stores = lookup.find_stores_with_split(store.folder.parent, start)
    for other in sorted(stores, key=lambda other: other.fingerprint != store.fingerprint):
        for each in other.split_keys(start):
            if (other.fingerprint, each) == (store.fingerprint, key):
                continue  # it is to be made
            try:
                other.verify()
                yield other, other.split(each)
            except DataError as error:
                raise DataError(
                    f"{error}; images were to keep the places that {other.split_file(each)} gives"
                    " them: bring it back, or delete it"
                ) from None


def _match(store: Store, other: Store, split: Split) -> PreviousSplit:
    """Return what a split of another store, or of the same one, says of this store's images."""
    import numpy

    used = numpy.zeros(other.count, bool)
    used[numpy.concatenate([split.indices(name) for name in SPLITS])] = True
    _, here, there = numpy.intersect1d(
        store.id_bytes, other.id_bytes, assume_unique=True, return_indices=True
    )
    earlier = replace(make_empty(store.count), folder=other.folder)
    earlier.assignments[here], earlier.used[here] = split.assignments[there], used[there]
    if split.folds is not None:
        earlier.folds[here] = split.folds[there]
    return earlier
