"""Assigning each image to a split, once for each seed and set of data settings. Light zone.

The source's own splits come first, then those of an earlier preparation. Other images are assigned
here: a missing test split is taken from the training images, and a missing validation split from
what remains. With `data.fold` the test split is a fold of the training images; `data.splits_file`
decides for all. Assignments are stratified by class and keep groups together. They are a pure
function of the store, earlier splits, the settings and the seed.
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
from imgcls.split.pool import UNASSIGNED, Pool, draw_random_keys
from imgcls.split.previous import PreviousSplit
from imgcls.store.lookup import compute_split_key
from imgcls.store.pixel_statistics import compute_pixel_statistics
from imgcls.store.split_file import UNUSED, Split
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy

_INDICES = {name: index for index, name in enumerate(SPLITS)}


def find_or_assign(store: Store, data: DataSettings, seed: int) -> tuple[Split, int]:
    """Return the split of a store, and how many of its images were in the same split before.

    The split is read if it was written before, else assigned.

    Raises:
        DataError: as of `assign_splits`, or an earlier split is damaged.
    """
    key = compute_split_key(data, seed)
    if store.get_split_file(key).exists():
        try:
            written = store.read_split(key)
            return written, written.assigned_count
        except DataError as error:
            terminal.note(f"splitting again: {error}")
    earlier = previous.find_previous(store, data, seed)
    split = assign_splits(store, data, seed, earlier)
    unchanged = earlier.count_unchanged(split)
    if earlier.folder not in (None, store.folder):
        terminal.note(
            f"{unchanged:,} of {split.assigned_count:,} images stay in the splits that they have in"
            f" {earlier.folder}; the others are new"
        )
    return split, unchanged


def assign_splits(
    store: Store, data: DataSettings, seed: int, earlier: PreviousSplit | None = None
) -> Split:
    """Assign a store's images to splits, and compute the statistics of the training pixels.

    Raises:
        DataError: a class has too few images or groups, a group is in two splits, or
            `data.splits_file` does not fit the store.
    """
    random_keys = draw_random_keys(store.count, seed)
    earlier = earlier or previous.make_empty_split(store.count)
    assignments, folds = _assign(store, data, random_keys, earlier)
    constraints.require_training_images(store, assignments)
    indices = _limit_images(store, data, assignments, random_keys, earlier)
    geometry = _choose_geometry(store, data)
    mean, std = compute_pixel_statistics(store.open_reader(geometry), indices["train"])
    return Split(
        compute_split_key(data, seed),
        **indices,
        mean=mean,
        std=std,
        geometry=geometry,
        assignments=assignments.astype("uint8"),
        folds=folds,
    )


def _limit_images(
    store: Store,
    data: DataSettings,
    assignments: "numpy.ndarray",
    random_keys: "numpy.ndarray",
    earlier: PreviousSplit,
) -> "dict[SplitName, numpy.ndarray]":
    """Return the indices of the images that each split uses, preferring those used before."""
    import numpy

    indices = {name: numpy.flatnonzero(assignments == index) for name, index in _INDICES.items()}
    if data.max_images is None:
        return indices
    constraints.require_limit_covers_classes(store, indices, data.max_images)
    # The high bit puts images that were not used before after all others.
    keys = (random_keys >> 1) | (~earlier.used).astype(random_keys.dtype) << 63
    return {
        name: stratified.limit_indices(images, store.labels[images], keys[images], data.max_images)
        for name, images in indices.items()
    }


def _choose_geometry(store: Store, data: DataSettings) -> Geometry:
    """Return the shape in which the model sees every image, and how images are resized to it."""
    if not isinstance(data, ImageSettings):
        assert store.shape is not None  # only image files are stored encoded
        return Geometry(store.shape, "stretch")
    height, width = data.size
    channels = (
        store.shape[2]
        if store.shape
        else data.channels or (1 if store.image_statistics["grayscale"].all() else 3)
    )
    return Geometry((height, width, channels), data.resize)


def _assign(
    store: Store, data: DataSettings, random_keys: "numpy.ndarray", earlier: PreviousSplit
) -> "tuple[numpy.ndarray, numpy.ndarray | None]":
    """Return the split of each image, int64 (count,), and its fold, int32 (count,) or None.

    Both are as in `Split`.

    Args:
        random_keys: a random number for each image, uint64 (count,).

    Raises:
        DataError: a class has too few images or groups, a group is in two splits, or
            `data.splits_file` does not fit the store.
    """
    groups = grouped.number_groups(store)
    if data.splits_file:
        fixed = split_csv.read_assignments(Path(data.splits_file), store)
        require_separate_groups(store, groups, fixed, SPLITS, f"correct {data.splits_file}")
        return fixed, None
    splitter = _Splitter(store, groups, random_keys, earlier, store.source_splits.astype("int64"))
    if data.fold_numbers:
        splitter.exclude_source_test()
    require_separate_groups(
        store,
        groups,
        splitter.assignments,
        SPLITS,
        "these splits are the source's own: correct them, or set data.splits_file",
    )
    folds = splitter.assign_folds(*data.fold_numbers) if data.fold_numbers else None
    splitter.assign_missing_splits({"test": data.test, "validation": data.validation})
    advice = (
        "they were split before they were a group: set data.splits_file, another seed, or another"
        " data.store_dir"
    )
    if folds is not None:
        require_separate_groups(
            store,
            groups,
            folds - 1,
            [f"fold {number + 1}" for number in range(folds.max())],
            advice,
        )
    require_separate_groups(store, groups, splitter.assignments, SPLITS, advice)
    return splitter.assignments, folds


@dataclass(frozen=True, eq=False)
class _Splitter:
    """A store being split: `assignments`, int64 (count,), start as the source's own and change."""

    store: Store
    groups: "numpy.ndarray"
    random_keys: "numpy.ndarray"
    earlier: PreviousSplit
    assignments: "numpy.ndarray"

    def exclude_source_test(self) -> None:
        """Mark the source's own test images as unused, with a note."""
        own = self._find_images("test")
        if len(own):
            self.assignments[own] = UNUSED
            terminal.note(f"data.fold: the source's own {len(own):,} test images are left out")

    def assign_folds(self, number: int, count: int) -> "numpy.ndarray":
        """Divide the training images into folds, of which one becomes the test split.

        Returns:
            The fold of each image, from 1; 0 for images outside the folds.
        """
        import numpy

        images = self._find_images("train")
        pool = self._make_pool(images, self.earlier.folds[images] - 1)
        require_enough(
            self.store, pool, images, count, f"the {count} folds", ", or use fewer folds"
        )
        folds = numpy.zeros(self.store.count, numpy.int32)
        folds[images] = stratified.assign_folds(pool, count) + 1
        self.assignments[folds == number] = _INDICES["test"]
        return folds

    def assign_missing_splits(self, fractions: dict[SplitName, float]) -> None:
        """Assign images to splits without any, in the order of `fractions`.

        With test first, the test split does not depend on the fraction for validation.
        """
        names = [
            name
            for name, fraction in fractions.items()
            if fraction > 0 and not len(self._find_images(name))
        ]
        advice = "; data.validation: 0 needs one image fewer" if "validation" in names else ""
        for position, name in enumerate(names):
            images = self._find_images("train")
            # Each of these needs an image of every class, too.
            rest = ["train", *names[position + 1 :]]
            pool = self._make_pool(images, self._find_previous(images, name, rest))
            require_enough(
                self.store,
                pool,
                images,
                1 + len(rest),
                ", ".join(["train", *names[position:]]),
                advice,
            )
            self.assignments[images[stratified.select_split(pool, fractions[name], len(rest))]] = (
                _INDICES[name]
            )
            absent = find_absent_classes(self.store, self.assignments, name)
            if absent:
                terminal.note(
                    f"the {name} split has no images of {terminal.format_some(absent)}: all of them"
                    " stay in the splits that they, or their groups, were in before"
                )

    def _find_images(self, name: SplitName) -> "numpy.ndarray":
        import numpy

        return numpy.flatnonzero(self.assignments == _INDICES[name])

    def _find_previous(
        self, images: "numpy.ndarray", name: SplitName, rest: list[SplitName]
    ) -> "numpy.ndarray":
        """Return where some images were before: 0 for a split, 1 for the rest, or `UNASSIGNED`."""
        import numpy

        before = self.earlier.assignments[images]
        return numpy.select(
            [before == _INDICES[name], numpy.isin(before, [_INDICES[other] for other in rest])],
            [0, 1],
            UNASSIGNED,
        )

    def _make_pool(self, images: "numpy.ndarray", assigned: "numpy.ndarray") -> Pool:
        return Pool(
            len(self.store.classes),
            self.store.labels[images],
            self.groups[images],
            assigned,
            self.random_keys[images],
        )
