"""What every split must satisfy: enough images of each class, and undivided groups. Light zone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgcls.datasets import SPLITS, SplitName
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.split.pool import Pool
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy


def require_enough(
    store: Store, pool: Pool, indices: "numpy.ndarray", needed: int, subsets: str, advice: str
) -> None:
    """Require an image, or a group, of each class for each subset.

    Args:
        pool: the images at these indices of the store.
        needed: the number of images, or groups, that each class needs.
        subsets: the names of the subsets, for the message.

    Raises:
        DataError: a class has fewer; it names each one, with its images.
    """
    import numpy

    counts = pool.count_groups(numpy.ones(len(indices), bool))
    small = numpy.flatnonzero(counts < needed).tolist()
    if not small:
        return
    lines = []
    for label in small:
        ids = list(map(terminal.to_printable, store.get_ids(indices[pool.labels == label])))
        images = f" ({terminal.format_some(ids, 20)})" if ids else ""
        lines.append(f"{store.classes[label]}: {counts[label]}{images}")
    units = "images" if store.groups is None else "groups of images"
    raise DataError(
        f"classes with fewer than {needed} {units}, one for each of {subsets}:\n"
        f"{terminal.format_lines(lines)}\nadd images or remove the class{advice}"
    )


def require_training_images(store: Store, assignments: "numpy.ndarray") -> None:
    """Require a training image of every class.

    Raises:
        DataError: a class has none.
    """
    absent = find_absent_classes(store, assignments, "train")
    if absent:
        raise DataError(
            f"classes without training images: {terminal.format_some(absent)}; all their images are"
            " in other splits, as decided by the source, data.splits_file or an earlier"
            " preparation: add images, move some, or remove the class"
        )


def find_absent_classes(store: Store, assignments: "numpy.ndarray", name: SplitName) -> list[str]:
    """Return the classes that have no image in a split."""
    import numpy

    counts = numpy.bincount(
        store.labels[assignments == SPLITS.index(name)], minlength=len(store.classes)
    )
    return [store.classes[label] for label in numpy.flatnonzero(counts == 0).tolist()]


def require_separate_groups(
    store: Store,
    groups: "numpy.ndarray",
    assignments: "numpy.ndarray",
    names: Sequence[str],
    advice: str,
) -> None:
    """Require groups in one subset each, so that no model is evaluated on what it has seen.

    Args:
        groups: numbers of the groups, int64 (count,).
        assignments: int (count,), indices into `names`; others are ignored.

    Raises:
        DataError: groups are divided; it names one, with an image in each of two subsets.
    """
    import numpy

    images = numpy.flatnonzero((assignments >= 0) & (assignments < len(names)))
    images = images[numpy.lexsort((assignments[images], groups[images]))]
    group, subset = groups[images], assignments[images]
    divided = numpy.flatnonzero((group[1:] == group[:-1]) & (subset[1:] != subset[:-1]))
    if len(divided):
        pair = images[divided[0] : divided[0] + 2]
        one, other = (
            f"{terminal.to_printable(image)} in {names[index]}"
            for image, index in zip(store.get_ids(pair), assignments[pair].tolist(), strict=True)
        )
        assert store.groups is not None  # else each image is a group of its own
        name = store.groups[pair[0]].decode("utf-8", "replace")
        count = len(numpy.unique(group[divided]))
        raise DataError(
            f"leakage: {count:,} {'group is' if count == 1 else 'groups are'} divided, such as"
            f" '{name}' with {one} and {other}; {advice}"
        )


def require_limit_covers_classes(
    store: Store, splits: "dict[SplitName, numpy.ndarray]", limit: int
) -> None:
    """Require a limit that leaves no class of a split without an image.

    Raises:
        DataError: the limit is too low; it names the lowest possible one.
    """
    import numpy

    least = {name: len(numpy.unique(store.labels[indices])) for name, indices in splits.items()}
    if max(least.values()) > limit:
        name = max(least, key=lambda name: least[name])
        raise DataError(
            f"data.max_images is {limit}, but the {name} split has images of {least[name]} classes,"
            f" each of which needs one; set it to at least {least[name]}"
        )
