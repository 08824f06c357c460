"""Which split each image belongs to, decided once for each data settings and seed. Light zone.

What the source decided is kept, then what an earlier split decided, and the rest is cut: a missing
test split from the training images, and a missing validation split from what remains. With
`data.fold` the test split is a fold of the training images; `data.splits_file` fixes all. A cut is
stratified, and keeps groups together. It is a pure function of the store, the split of what was
prepared before, the settings and the seed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.datasets import SPLITS, DataSettings, ImageSettings, SplitName
from imgcls.errors import DataError
from imgcls.image.decode import Geometry
from imgcls.io import terminal
from imgcls.split import constraints, grouped, previous, split_csv, stratified
from imgcls.split.constraints import find_absent_classes, require_enough, require_separate_groups
from imgcls.split.pool import UNASSIGNED, Pool, draw_order
from imgcls.split.previous import PreviousSplit
from imgcls.store.lookup import compute_split_key
from imgcls.store.pixel_statistics import compute_pixel_statistics
from imgcls.store.split_file import UNUSED, Split
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy

_NUMBERS = {name: place for place, name in enumerate(SPLITS)}


def find_or_assign(store: Store, data: DataSettings, seed: int) -> tuple[Split, int]:
    """Return the split of a store, as it was written once or else cut now, and how many images it
    keeps where they were.

    Raises:
        DataError: as `split` says, or what an earlier split decided is damaged.
    """
    key = compute_split_key(data, seed)
    if store.split_file(key).exists():
        try:
            written = store.split(key)
            return written, written.assigned_count
        except DataError as error:
            terminal.note(f"splitting anew: {error}")
    earlier = previous.find_previous(store, data, seed)
    cut = assign_splits(store, data, seed, earlier)
    kept = earlier.count_kept(cut)
    if earlier.folder not in (None, store.folder):
        terminal.note(
            f"{kept:,} of {cut.assigned_count:,} images keep the places that they have in"
            f" {earlier.folder}; the others are new"
        )
    return cut, kept


def assign_splits(
    store: Store, data: DataSettings, seed: int, earlier: PreviousSplit | None = None
) -> Split:
    """Split a store, and measure its training pixels as the model sees them.

    Raises:
        DataError: a class has too few images or groups, a group is on two sides, or the file of
            splits does not fit the store.
    """
    order = draw_order(store.count, seed)
    earlier = earlier or previous.make_empty(store.count)
    sides, folds = _assign(store, data, order, earlier)
    constraints.require_training_images(store, sides)
    parts = _limit_images(store, data, sides, order, earlier)
    geometry = _choose_geometry(store, data)
    mean, std = compute_pixel_statistics(store.reader(geometry), parts["train"])
    return Split(
        compute_split_key(data, seed),
        **parts,
        mean=mean,
        std=std,
        geometry=geometry,
        assignments=sides.astype("uint8"),
        folds=folds,
    )


def _limit_images(
    store: Store,
    data: DataSettings,
    sides: "numpy.ndarray",
    order: "numpy.ndarray",
    earlier: PreviousSplit,
) -> "dict[SplitName, numpy.ndarray]":
    """Return the indices of the images that each split uses; those that were used before go
    first.
    """
    import numpy

    parts = {name: numpy.flatnonzero(sides == side) for side, name in enumerate(SPLITS)}
    if data.max_images is None:
        return parts
    constraints.require_limit_covers_classes(store, parts, data.max_images)
    turn = (order >> 1) | (~earlier.used).astype(order.dtype) << 63
    return {
        name: stratified.limit_indices(
            indices, store.labels[indices], turn[indices], data.max_images
        )
        for name, indices in parts.items()
    }


def _choose_geometry(store: Store, data: DataSettings) -> Geometry:
    """Return what the model is to see of every image."""
    if not isinstance(data, ImageSettings):
        return Geometry(store.shape, "stretch")
    channels = (
        store.shape[2]
        if store.shape
        else data.channels or (1 if store.image_statistics["grey"].all() else 3)
    )
    return Geometry((*data.size, channels), data.resize)


def _assign(
    store: Store, data: DataSettings, order: "numpy.ndarray", earlier: PreviousSplit
) -> "tuple[numpy.ndarray, numpy.ndarray | None]":
    """Return the side of each image, int64 (count,), and where there are folds its fold, int32
    (count,); both as in `Split`.

    Args:
        order: a random number for each image, uint64 (count,).

    Raises:
        DataError: a class has too few images or groups, a group is on two sides, or the file of
            splits does not fit the store.
    """
    groups = grouped.number_groups(store)
    if data.splits_file:
        fixed = split_csv.read_assignments(Path(data.splits_file), store)
        require_separate_groups(store, groups, fixed, SPLITS, f"correct {data.splits_file}")
        return fixed, None
    cut = _Assignment(store, groups, order, earlier, store.source_splits.astype("int64"))
    if data.fold_numbers:
        cut.exclude_source_test()
    require_separate_groups(
        store,
        groups,
        cut.assignments,
        SPLITS,
        "these splits are the source's own: correct them, or give data.splits_file",
    )
    folds = cut.folds(*data.fold_numbers) if data.fold_numbers else None
    cut.assign_missing_splits({"test": data.test, "validation": data.validation})
    advice = (
        "they had these places before they were a group: give data.splits_file, another seed, or"
        " another data.store_dir"
    )
    if folds is not None:
        require_separate_groups(
            store,
            groups,
            folds - 1,
            [f"fold {number + 1}" for number in range(folds.max())],
            advice,
        )
    require_separate_groups(store, groups, cut.assignments, SPLITS, advice)
    return cut.assignments, folds


@dataclass(frozen=True, eq=False)
class _Assignment:
    """A store that is being cut: `sides`, int64 (count,), are the source's own at first, and change
    with every split that is cut.
    """

    store: Store
    groups: "numpy.ndarray"
    order: "numpy.ndarray"
    earlier: PreviousSplit
    assignments: "numpy.ndarray"

    def exclude_source_test(self) -> None:
        """Make the source's own test images unused, and say so."""
        own = self._images("test")
        if len(own):
            self.assignments[own] = UNUSED
            terminal.note(f"data.fold: the source's own {len(own):,} test images are left out")

    def folds(self, number: int, count: int) -> "numpy.ndarray":
        """Cut the training images into folds, make one of them the test split, and return the fold
        of each image.
        """
        import numpy

        images = self._images("train")
        pool = self._pool(images, self.earlier.folds[images] - 1)
        require_enough(
            self.store, pool, images, count, f"the {count} folds", ", or use fewer folds"
        )
        folds = numpy.zeros(self.store.count, numpy.int32)
        folds[images] = stratified.choose_folds(pool, count) + 1
        self.assignments[folds == number] = _NUMBERS["test"]
        return folds

    def assign_missing_splits(self, shares: dict[SplitName, float]) -> None:
        """Cut the splits that there are not yet, in this order: the test split does not depend on
        the share for validation.
        """
        names = [
            name for name, share in shares.items() if share > 0 and not len(self._images(name))
        ]
        advice = "; data.validation: 0 needs one image less" if "validation" in names else ""
        for position, name in enumerate(names):
            images = self._images("train")
            rest = [
                "train",
                *names[position + 1 :],
            ]  # each of which needs an image of every class, too
            pool = self._pool(images, self._get_previous(images, name, rest))
            require_enough(
                self.store,
                pool,
                images,
                1 + len(rest),
                ", ".join(["train", *names[position:]]),
                advice,
            )
            self.assignments[images[stratified.choose_split(pool, shares[name], len(rest))]] = (
                _NUMBERS[name]
            )
            absent = find_absent_classes(self.store, self.assignments, name)
            if absent:
                terminal.note(
                    f"no image of {', '.join(absent)} in the {name} split: all keep their places,"
                    " or their groups'"
                )

    def _images(self, name: SplitName) -> "numpy.ndarray":
        import numpy

        return numpy.flatnonzero(self.assignments == _NUMBERS[name])

    def _get_previous(
        self, images: "numpy.ndarray", name: SplitName, rest: list[SplitName]
    ) -> "numpy.ndarray":
        """Return the sides that an earlier split gave some images: 0 for a split, 1 for the rest,
        `OPEN` for new images.
        """
        import numpy

        before = self.earlier.assignments[images]
        return numpy.select(
            [before == _NUMBERS[name], numpy.isin(before, [_NUMBERS[other] for other in rest])],
            [0, 1],
            UNASSIGNED,
        )

    def _pool(self, images: "numpy.ndarray", given: "numpy.ndarray") -> Pool:
        return Pool(
            len(self.store.classes),
            self.store.labels[images],
            self.groups[images],
            given,
            self.order[images],
        )
