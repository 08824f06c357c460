"""Dividing images so that every side gets its share of each class. Light zone.

Images of one group go to one side as a whole (imgcls/split/grouped.py places the groups of several
images first); an image that has a side already keeps it. The rest is dealt so that each class comes
as near to its share as whole images can.
"""

from typing import TYPE_CHECKING

from imgcls.split import grouped
from imgcls.split.pool import UNASSIGNED, Pool

if TYPE_CHECKING:
    import numpy


def choose_split(pool: Pool, share: float, reserve: int) -> "numpy.ndarray":
    """Cut a split from a pool, in which side 0 is the split and side 1 the rest.

    Args:
        share: of each class, 0 < share < 1.
        reserve: groups (or images without one) of each class that must stay in the rest; each class
            has more.

    Returns:
        Which images go into the split, bool (n,).
    """
    import numpy

    given = grouped.assign_groups(pool, numpy.array([share, 1 - share]), numpy.array([1, reserve]))
    split, rest, free = (pool.images(given == side) for side in (0, 1, UNASSIGNED))
    wanted = numpy.array(allocate((split + rest + free).tolist(), share, reserve))
    must_stay = numpy.maximum(reserve - pool.count_groups(given == 1), 0)
    quotas = numpy.minimum(numpy.maximum(wanted - split, 0), numpy.maximum(free - must_stay, 0))
    return _deal(pool, given, numpy.stack([quotas, free - quotas], axis=1)) == 0


def choose_folds(pool: Pool, count: int) -> "numpy.ndarray":
    """Divide a pool among `count` sides of equal size; return the side of each image, int64 (n,).

    Without groups and sides given before, the folds differ by at most one image in each class, and
    in all.
    """
    import numpy

    given = grouped.assign_groups(
        pool, numpy.full(count, 1 / count), numpy.ones(count, numpy.int64)
    )
    placed, free = given != UNASSIGNED, pool.images(given == UNASSIGNED)
    have = numpy.bincount(
        pool.labels[placed] * count + given[placed], minlength=pool.classes * count
    ).reshape(pool.classes, count)
    sizes = have.sum(axis=0)
    quotas = numpy.zeros_like(have)
    for label in range(pool.classes):
        quotas[label] = _fill_quotas(have[label], int(free[label]), sizes)
        sizes += quotas[label]
    return _deal(pool, given, quotas)


def limit_indices(
    indices: "numpy.ndarray", labels: "numpy.ndarray", order: "numpy.ndarray", limit: int
) -> "numpy.ndarray":
    """Return at most `limit` of a split's sorted indices, each class in its proportion and with one
    image at least.

    Args:
        labels, order: of these images; of a class, the first ones in this order are taken.
        limit: at least the number of classes among the images.
    """
    import numpy

    if len(indices) <= limit:
        return indices
    names, labels, counts = numpy.unique(labels, return_inverse=True, return_counts=True)
    quotas = numpy.array(_allocate_limit(counts.tolist(), limit))
    pool = Pool(
        len(names), labels, numpy.arange(len(indices)), numpy.full(len(indices), UNASSIGNED), order
    )
    return indices[_deal(pool, pool.assigned, numpy.stack([quotas, counts - quotas], axis=1)) == 0]


def allocate(counts: list[int], share: float, reserve: int) -> list[int]:
    """Return how many images of each class go into a split: `share` of each, rounded so that the
    total is `share` of all.

    The method of largest remainders (Hamilton): every class differs by less than 1 from its exact
    share. Two bounds come first, and may move the total: at least 1 of each class, and at least
    `reserve` left.

    Args:
        counts: images of each class, each more than `reserve`.
        share: 0 < share < 1.
        reserve: images of each class that must be left.
    """
    exact = [count * share for count in counts]
    numbers = [
        min(max(int(value), 1), count - reserve) for value, count in zip(exact, counts, strict=True)
    ]
    by_remainder = sorted(range(len(counts)), key=lambda label: numbers[label] - exact[label])
    open_to_one_more = [
        label
        for label in by_remainder
        if numbers[label] < min(exact[label], counts[label] - reserve)
    ]
    for label in open_to_one_more[: max(0, round(sum(counts) * share) - sum(numbers))]:
        numbers[label] += 1
    return numbers


def _allocate_limit(counts: list[int], limit: int) -> list[int]:
    """Return how many of each class make up `limit` images: in proportion, but 1 of each class
    whose share is less than that.
    """
    rare: set[int] = set()
    while True:
        common = [label for label in range(len(counts)) if label not in rare]
        left, images = limit - len(rare), sum(counts[label] for label in common)
        more = {label for label in common if counts[label] * left < images}
        if not more:
            break
        # What they take beyond their proportion, the others give, which may make others rare.
        rare |= more
    numbers = [1] * len(counts)
    for label, number in zip(
        common, allocate([counts[label] for label in common], left / max(images, 1), 0), strict=True
    ):
        numbers[label] = number
    return numbers


def _fill_quotas(have: "numpy.ndarray", free: int, sizes: "numpy.ndarray") -> "numpy.ndarray":
    """Return how many of a class's free images each side gets, so that all sides come to the same
    level as far as they reach.

    Args:
        have: images of the class on each side, int64 (sides,).
        sizes: images of all classes on each side: of equal sides, the smaller ones get the last
            images.
    """
    import numpy

    by_level = numpy.argsort(have, kind="stable")
    reached, before = have[by_level], numpy.cumsum(have[by_level])
    number = numpy.count_nonzero(reached * numpy.arange(1, len(have) + 1) - before <= free)
    lowest = by_level[:number]
    level, more = divmod(free + int(before[number - 1]), number)
    quotas = numpy.zeros_like(have)
    quotas[lowest] = level - have[lowest]
    quotas[lowest[numpy.argsort((sizes + quotas)[lowest], kind="stable")[:more]]] += 1
    return quotas


def _deal(pool: Pool, given: "numpy.ndarray", quotas: "numpy.ndarray") -> "numpy.ndarray":
    """Deal the open images of each class to the sides by quotas (classes, sides), which use all of
    them up; return all sides.
    """
    import numpy

    sides = given.copy()
    free = numpy.flatnonzero(given == UNASSIGNED)
    free = free[numpy.lexsort((pool.order[free], pool.labels[free]))]
    sides[free] = numpy.repeat(
        numpy.tile(numpy.arange(quotas.shape[1]), len(quotas)), quotas.ravel()
    )
    return sides
