"""What every split must keep to: classes that can be trained, groups on one side, a limit that
leaves no class out. Light zone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgcls.datasets import SPLITS, SplitName
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.split.pool import Pool
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy

_SHOWN = 20


def require_enough(
    store: Store, pool: Pool, indices: "numpy.ndarray", needed: int, places: str, advice: str
) -> None:
    """Refuse classes that cannot have an image, or a group, in each of the places to be filled.

    Args:
        pool: the images at these indices of the store.
        needed: how many of each class there must be.
        places: what one is needed for, in words.

    Raises:
        DataError: a class has fewer; each is named, with its images.
    """
    import numpy

    counts = pool.count_groups(numpy.ones(len(indices), bool))
    small = numpy.flatnonzero(counts < needed).tolist()
    if not small:
        return
    lines = []
    for label in small[:_SHOWN]:
        ids = store.ids(indices[pool.labels == label][:_SHOWN])
        lines.append(
            f"  {store.classes[label]}: {counts[label]}"
            + (f" ({', '.join(map(terminal.to_printable, ids))})" if ids else "")
        )
    rest = [f"  and {len(small) - _SHOWN} more"] if len(small) > _SHOWN else []
    units = "images" if store.groups is None else "groups of images"
    title = f"classes with fewer than {needed} {units} to train on, one for each of {places}:"
    raise DataError("\n".join([title, *lines, *rest, f"add images or remove the class{advice}"]))


def require_training_images(store: Store, sides: "numpy.ndarray") -> None:
    """Refuse a class without an image in the training split, where it could not be learnt.

    Raises:
        DataError: there are such classes.
    """
    absent = find_absent_classes(store, sides, "train")
    if absent:
        raise DataError(
            f"classes without a training image: {', '.join(absent)}; all that they have is in other"
            " splits, by the source, data.splits_file or an earlier preparation: add images, move"
            " some, or remove the class"
        )


def find_absent_classes(store: Store, sides: "numpy.ndarray", name: SplitName) -> list[str]:
    """Return the classes that have no image in a split."""
    import numpy

    counts = numpy.bincount(store.labels[sides == SPLITS.index(name)], minlength=len(store.classes))
    return [store.classes[label] for label in numpy.flatnonzero(counts == 0).tolist()]


def require_separate_groups(
    store: Store, groups: "numpy.ndarray", sides: "numpy.ndarray", names: Sequence[str], advice: str
) -> None:
    """Refuse images of one group on two sides, which would let a model be evaluated on what it has
    seen.

    Args:
        groups: numbers of the groups, int64 (count,).
        sides: int (count,): places in `names`; others do not count.

    Raises:
        DataError: there are such groups; the first is named, with an image on either side.
    """
    import numpy

    placed = numpy.flatnonzero((sides >= 0) & (sides < len(names)))
    placed = placed[numpy.lexsort((sides[placed], groups[placed]))]
    group, side = groups[placed], sides[placed]
    divided = numpy.flatnonzero((group[1:] == group[:-1]) & (side[1:] != side[:-1]))
    if len(divided):
        pair = placed[divided[0] : divided[0] + 2]
        one, other = (
            f"{terminal.to_printable(image)} in {names[at]}"
            for image, at in zip(store.ids(pair), sides[pair].tolist(), strict=True)
        )
        name = store.groups[pair[0]].decode("utf-8", "replace")
        count = len(numpy.unique(group[divided]))
        raise DataError(
            f"leakage: groups have images on more than one side, {count:,} in all, such as '{name}'"
            f" with {one} and {other}; {advice}"
        )


def require_limit_covers_classes(
    store: Store, parts: "dict[SplitName, numpy.ndarray]", limit: int
) -> None:
    """Refuse a limit that would leave a class of a split without an image.

    Raises:
        DataError: the limit is too low; the least that works is named.
    """
    import numpy

    least = {name: len(numpy.unique(store.labels[indices])) for name, indices in parts.items()}
    if max(least.values()) > limit:
        name = max(least, key=lambda name: least[name])
        raise DataError(
            f"data.max_images is {limit}, but the {name} split has images of {least[name]} classes,"
            f" each of which needs one; the least limit that works is {least[name]}"
        )
