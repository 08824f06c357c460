"""Dividing images so that every subset gets its fraction of each class. Light zone.

Groups stay together (imgcls/split/grouped.py assigns groups of several images first), and images
that are assigned already stay where they are. The rest is divided so that each class comes as near
to its fraction as whole images can.
"""

from typing import TYPE_CHECKING

from imgcls.split import grouped
from imgcls.split.pool import UNASSIGNED, Pool

if TYPE_CHECKING:
    import numpy


def select_split(pool: Pool, fraction: float, reserve: int) -> "numpy.ndarray":
    """Select a split from a pool, in which subset 0 is the split and subset 1 the rest.

    Args:
        fraction: of each class, 0 < fraction < 1.
        reserve: groups (or images without one) of each class that must stay in the rest; each class
            has more.

    Returns:
        The images of the split, bool (n,).
    """
    import numpy

    assigned = grouped.assign_groups(
        pool, numpy.array([fraction, 1 - fraction]), numpy.array([1, reserve])
    )
    split, rest, free = (pool.count_images(assigned == i) for i in (0, 1, UNASSIGNED))
    wanted = numpy.array(allocate((split + rest + free).tolist(), fraction, reserve))
    must_stay = numpy.maximum(reserve - pool.count_groups(assigned == 1), 0)
    quotas = numpy.minimum(numpy.maximum(wanted - split, 0), numpy.maximum(free - must_stay, 0))
    return _assign_by_quotas(pool, assigned, numpy.stack([quotas, free - quotas], axis=1)) == 0


def assign_folds(pool: Pool, count: int) -> "numpy.ndarray":
    """Divide a pool into `count` folds of equal size; return the fold of each image, int64 (n,).

    Without groups and earlier assignments, the folds differ by at most one image in each class, and
    by at most one in total.
    """
    import numpy

    assigned = grouped.assign_groups(
        pool, numpy.full(count, 1 / count), numpy.ones(count, numpy.int64)
    )
    known, free = assigned != UNASSIGNED, pool.count_images(assigned == UNASSIGNED)
    have = numpy.bincount(
        pool.labels[known] * count + assigned[known], minlength=pool.classes * count
    ).reshape(pool.classes, count)
    sizes = have.sum(axis=0)
    quotas = numpy.zeros_like(have)
    for label in range(pool.classes):
        quotas[label] = _fill_quotas(have[label], int(free[label]), sizes)
        sizes += quotas[label]
    return _assign_by_quotas(pool, assigned, quotas)


def limit_indices(
    indices: "numpy.ndarray", labels: "numpy.ndarray", random_keys: "numpy.ndarray", limit: int
) -> "numpy.ndarray":
    """Return at most `limit` of a split's sorted indices, in proportion, with one of each class.

    Args:
        labels, random_keys: of these images; those of each class with the smallest keys are chosen.
        limit: at least the number of classes among the images.
    """
    import numpy

    if len(indices) <= limit:
        return indices
    names, labels, counts = numpy.unique(labels, return_inverse=True, return_counts=True)
    quotas = numpy.array(_allocate_limit(counts.tolist(), limit))
    pool = Pool(
        len(names),
        labels,
        numpy.arange(len(indices)),
        numpy.full(len(indices), UNASSIGNED),
        random_keys,
    )
    return indices[
        _assign_by_quotas(pool, pool.assigned, numpy.stack([quotas, counts - quotas], axis=1)) == 0
    ]


def allocate(counts: list[int], fraction: float, reserve: int) -> list[int]:
    """Return how many images of each class go into a split, with a total of `fraction` of all.

    The method of largest remainders (Hamilton): every class differs by less than 1 from its exact
    fraction. Two bounds take precedence, and may change the total: at least 1 of each class, and at
    least `reserve` left.

    Args:
        counts: images of each class, each more than `reserve`.
        fraction: 0 < fraction < 1.
        reserve: images of each class that must be left.
    """
    exact = [count * fraction for count in counts]
    numbers = [
        min(max(int(value), 1), count - reserve) for value, count in zip(exact, counts, strict=True)
    ]
    by_remainder = sorted(range(len(counts)), key=lambda label: numbers[label] - exact[label])
    open_to_one_more = [
        label
        for label in by_remainder
        if numbers[label] < min(exact[label], counts[label] - reserve)
    ]
    for label in open_to_one_more[: max(0, round(sum(counts) * fraction) - sum(numbers))]:
        numbers[label] += 1
    return numbers


def _allocate_limit(counts: list[int], limit: int) -> list[int]:
    """Return how many images of each class make up `limit`: in proportion, but 1 at least."""
    rare: set[int] = set()
    while True:
        common = [label for label in range(len(counts)) if label not in rare]
        left, images = limit - len(rare), sum(counts[label] for label in common)
        more = {label for label in common if counts[label] * left < images}
        if not more:
            break
        # What these get beyond their proportion the others lose, which may make others rare.
        rare |= more
    numbers = [1] * len(counts)
    for label, number in zip(
        common, allocate([counts[label] for label in common], left / max(images, 1), 0), strict=True
    ):
        numbers[label] = number
    return numbers


def _fill_quotas(have: "numpy.ndarray", free: int, sizes: "numpy.ndarray") -> "numpy.ndarray":
    """Return how many of a class's free images each subset gets.

    Water-filling: raise the emptiest subsets to a common level.

    Args:
        have: images of the class in each subset, int64 (subsets,).
        sizes: images of all classes in each subset: the smaller ones of equal subsets get the last
            images.
    """
    import numpy

    by_level = numpy.argsort(have, kind="stable")
    levels, filled = have[by_level], numpy.cumsum(have[by_level])
    count = numpy.count_nonzero(levels * numpy.arange(1, len(have) + 1) - filled <= free)
    lowest = by_level[:count]
    level, remainder = divmod(free + int(filled[count - 1]), count)
    quotas = numpy.zeros_like(have)
    quotas[lowest] = level - have[lowest]
    quotas[lowest[numpy.argsort((sizes + quotas)[lowest], kind="stable")[:remainder]]] += 1
    return quotas


def _assign_by_quotas(
    pool: Pool, assigned: "numpy.ndarray", quotas: "numpy.ndarray"
) -> "numpy.ndarray":
    """Assign the free images of each class by quotas (classes, subsets) that add up to them all."""
    import numpy

    assignments = assigned.copy()
    free = numpy.flatnonzero(assigned == UNASSIGNED)
    free = free[numpy.lexsort((pool.random_keys[free], pool.labels[free]))]
    assignments[free] = numpy.repeat(
        numpy.tile(numpy.arange(quotas.shape[1]), len(quotas)), quotas.ravel()
    )
    return assignments
