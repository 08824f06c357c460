"""Splitting a store, once for each data settings and seed. Light zone.

Which split an image belongs to is decided in imgcls/cutting.py; here it is limited, measured, and written. A split is a pure function of
the store, the split of what was prepared before, the settings and the seed.
"""

from typing import TYPE_CHECKING

from imgcls import cutting, earlier_split, split_rules, stratifying, terminal
from imgcls.datasets import SPLITS, DataSettings, ImageSettings, SplitName
from imgcls.earlier_split import Earlier
from imgcls.errors import DataError
from imgcls.finding import split_key
from imgcls.images import Geometry
from imgcls.pixel_statistics import pixel_statistics
from imgcls.pool import random_order
from imgcls.split_file import Split
from imgcls.store import Store

if TYPE_CHECKING:
    import numpy


def settled(store: Store, data: DataSettings, seed: int) -> tuple[Split, int]:
    """Return the split of a store, as it was written once or else cut now, and how many images it keeps where they were.

    Raises:
        DataError: as `split` says, or what an earlier split decided is damaged.
    """
    key = split_key(data, seed)
    if store.split_file(key).exists():
        try:
            written = store.split(key)
            return written, written.placed
        except DataError as error:
            terminal.note(f"splitting anew: {error}")
    earlier = earlier_split.find(store, data, seed)
    cut = split(store, data, seed, earlier)
    kept = earlier.kept_by(cut)
    if earlier.folder not in (None, store.folder):
        terminal.note(f"{kept:,} of {cut.placed:,} images keep the places that they have in {earlier.folder}; the others are new")
    return cut, kept


def split(store: Store, data: DataSettings, seed: int, earlier: Earlier | None = None) -> Split:
    """Split a store, and measure its training pixels as the model sees them.

    Raises:
        DataError: a class has too few images or groups, a group is on two sides, or the file of splits does not fit the store.
    """
    order = random_order(store.count, seed)
    earlier = earlier or earlier_split.nothing(store.count)
    sides, folds = cutting.sides(store, data, order, earlier)
    split_rules.require_training_images(store, sides)
    parts = _limited(store, data, sides, order, earlier)
    geometry = _geometry(store, data)
    mean, deviation = pixel_statistics(store.reader(geometry), parts["train"])
    return Split(
        split_key(data, seed), **parts, mean=mean, deviation=deviation, geometry=geometry, sides=sides.astype("uint8"), folds=folds
    )


def _limited(
    store: Store, data: DataSettings, sides: "numpy.ndarray", order: "numpy.ndarray", earlier: Earlier
) -> "dict[SplitName, numpy.ndarray]":
    """Return the indices of the images that each split uses; those that were used before go first."""
    import numpy

    parts = {name: numpy.flatnonzero(sides == side) for side, name in enumerate(SPLITS)}
    if data.limit is None:
        return parts
    split_rules.require_whole_limit(store, parts, data.limit)
    turn = (order >> 1) | (~earlier.used).astype(order.dtype) << 63
    return {name: stratifying.limited(indices, store.labels[indices], turn[indices], data.limit) for name, indices in parts.items()}


def _geometry(store: Store, data: DataSettings) -> Geometry:
    """Return what the model is to see of every image."""
    if not isinstance(data, ImageSettings):
        return Geometry(store.shape, "stretch")
    channels = store.shape[2] if store.shape else data.channels or (1 if store.looks["grey"].all() else 3)
    return Geometry((*data.size, channels), data.resize)
