"""Cutting the splits that a source lacks: stratified, and a pure function of the images' order and the seed. Light zone.

A source's own splits are kept as they are. A missing test split is cut from the training images, then a missing validation split from
what remains.
"""

from typing import TYPE_CHECKING

from imgcls import seeds, terminal
from imgcls.datasets import SPLITS, DataSettings, ImageSettings, SplitName
from imgcls.errors import DataError
from imgcls.finding import split_key
from imgcls.images import Geometry
from imgcls.pixel_statistics import pixel_statistics
from imgcls.split_file import Split
from imgcls.store import Store

if TYPE_CHECKING:
    import numpy


def split(store: Store, data: DataSettings, seed: int) -> Split:
    """Cut a store, and measure its training pixels as the model sees them.

    Raises:
        DataError: a class has too few images for one in each split.
    """
    import numpy

    parts = {name: numpy.flatnonzero(store.source_splits == number) for number, name in enumerate(SPLITS)}
    shares = _missing(data, parts)
    _check_counts(store, parts["train"], list(shares))
    # One random number an image, and the images of a class in the order of their numbers. A Philox generator's raw numbers are the same
    # in every release of NumPy, which `permutation` does not promise.
    order = numpy.random.Philox(key=seeds.sub_seed(seed, "split")).random_raw(len(store.labels))
    for position, (name, share) in enumerate(shares.items()):
        reserve = len(shares) - position  # one image for training, and one for each split still to be cut
        parts[name] = _stratified(parts["train"], store.labels, order, len(store.classes), share, reserve)
        parts["train"] = numpy.setdiff1d(parts["train"], parts[name], assume_unique=True)
    geometry = _geometry(store, data)
    mean, deviation = pixel_statistics(store.reader(geometry), parts["train"])
    return Split(split_key(data, seed), parts["train"], parts["validation"], parts["test"], mean, deviation, geometry)


def _geometry(store: Store, data: DataSettings) -> Geometry:
    """Return what the model is to see of every image."""
    if not isinstance(data, ImageSettings):
        return Geometry(store.shape, "stretch")
    channels = store.shape[2] if store.shape else data.channels or (1 if store.looks["grey"].all() else 3)
    return Geometry((*data.size, channels), data.resize)


def _missing(data: DataSettings, parts: "dict[SplitName, numpy.ndarray]") -> dict[SplitName, float]:
    """Return the share of each split to be cut, in the order of cutting: the test split does not depend on the validation share."""
    shares: dict[SplitName, float] = {"test": data.test, "validation": data.validation}
    return {name: share for name, share in shares.items() if share > 0 and len(parts[name]) == 0}


def _check_counts(store: Store, train: "numpy.ndarray", cut: list[SplitName]) -> None:
    """Refuse classes that cannot have an image in each split."""
    import numpy

    needed = 1 + len(cut)
    counts = numpy.bincount(store.labels[train], minlength=len(store.classes))
    small = numpy.flatnonzero(counts < needed).tolist()
    if not small:
        return
    lines = []
    for label in small[:20]:
        ids = store.ids(train[store.labels[train] == label])
        lines.append(f"  {store.classes[label]}: {counts[label]}" + (f" ({', '.join(map(terminal.printable, ids))})" if ids else ""))
    rest = [f"  and {len(small) - 20} more"] if len(small) > 20 else []
    raise DataError(
        "\n".join([f"classes with fewer than {needed} images to train on, one for each of {', '.join(['train', *cut])}:", *lines, *rest])
        + "\nadd images or remove the class"
        + ("; data.validation: 0 needs one image less" if "validation" in cut else "")
    )


def _stratified(
    train: "numpy.ndarray", labels: "numpy.ndarray", order: "numpy.ndarray", classes: int, share: float, reserve: int
) -> "numpy.ndarray":
    """Return the sorted indices of a share of the training images, of each class those with the lowest numbers in `order`."""
    import numpy

    counts = numpy.bincount(labels[train], minlength=classes)
    wanted = allocate(counts.tolist(), share, reserve)
    sorted_train = train[numpy.lexsort((order[train], labels[train]))]
    starts = numpy.cumsum(counts) - counts
    chosen = [sorted_train[start : start + number] for start, number in zip(starts.tolist(), wanted, strict=True)]
    return numpy.sort(numpy.concatenate(chosen))


def allocate(counts: list[int], share: float, reserve: int) -> list[int]:
    """Return how many images of each class go into a split: `share` of each, rounded so that the total is `share` of all.

    The method of largest remainders (Hamilton): every class differs by less than 1 from its exact share. Two bounds come first, and may
    move the total: at least 1 of each class, and at least `reserve` left.

    Args:
        counts: images of each class, each more than `reserve`.
        share: 0 < share < 1.
        reserve: images of each class that must be left.
    """
    exact = [count * share for count in counts]
    numbers = [min(max(int(value), 1), count - reserve) for value, count in zip(exact, counts, strict=True)]
    by_remainder = sorted(range(len(counts)), key=lambda label: numbers[label] - exact[label])
    open_to_one_more = [label for label in by_remainder if numbers[label] < min(exact[label], counts[label] - reserve)]
    for label in open_to_one_more[: max(0, round(sum(counts) * share) - sum(numbers))]:
        numbers[label] += 1
    return numbers
