"""Assigning whole groups, such as all images of a patient, to subsets. Light zone.

A greedy method, as in scikit-learn's StratifiedGroupKFold: groups with the most varied class counts
come first, and each goes to the subset that it brings nearest to its fraction of each class. Here
fractions may differ, and every subset gets each class as long as there are groups that have it.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgcls.split.pool import UNASSIGNED, Pool
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy


def number_groups(store: Store) -> "numpy.ndarray":
    """Return the number of each image's group, int64 (count,); without groups all differ."""
    import numpy

    if store.groups is None:
        return numpy.arange(store.count)
    return numpy.unique(store.groups, return_inverse=True)[1]


def assign_groups(
    pool: Pool, fractions: "numpy.ndarray", needed: "numpy.ndarray"
) -> "numpy.ndarray":
    """Return the subset of each image, int64 (n,), with groups of several images assigned.

    Single images without an earlier assignment stay `UNASSIGNED`; assigning them afterwards can
    correct the fractions.

    Args:
        fractions: of all images in each subset, float64 (subsets,), with the sum 1.
        needed: the least number of groups of each class in each subset, int64 (subsets,); met as
            far as possible.
    """
    import numpy

    assigned = _extend_to_groups(pool)
    waiting = (assigned == UNASSIGNED) & (numpy.bincount(pool.groups)[pool.groups] > 1)
    if not waiting.any():
        return assigned
    groups = _Groups.collect(pool, waiting)
    by_group = numpy.full(pool.groups.max() + 1, UNASSIGNED)
    balance = _Balance.compute(pool, assigned, fractions, needed)
    by_group[groups.numbers] = _assign_greedily(groups, balance)
    assigned[waiting] = by_group[pool.groups[waiting]]
    return assigned


def _extend_to_groups(pool: Pool) -> "numpy.ndarray":
    """Return the earlier assignments, extended to new images of the same groups."""
    import numpy

    known = pool.assigned != UNASSIGNED
    by_group = numpy.full(pool.groups.max() + 1, UNASSIGNED)
    by_group[pool.groups[known]] = pool.assigned[known]
    return numpy.where(known, pool.assigned, by_group[pool.groups])


@dataclass(frozen=True, eq=False)
class _Groups:
    """Groups to be assigned, in this order, and their class counts.

    Attributes:
        numbers: of the groups, int64 (groups,).
        starts: int64 (groups + 1,): group i has the entries starts[i] to starts[i + 1] of `columns`
            and `counts`.
        columns: the classes of each group, followed by the number of classes, which stands for all
            of them, int64 (entries,).
        counts: images of the group in each column, int64 (entries,).
    """

    numbers: "numpy.ndarray"
    starts: "numpy.ndarray"
    columns: "numpy.ndarray"
    counts: "numpy.ndarray"

    @staticmethod
    def collect(pool: Pool, waiting: "numpy.ndarray") -> "_Groups":
        """Collect the groups of some images (bool, n)."""
        import numpy

        numbers, firsts, inverse = numpy.unique(
            pool.groups[waiting], return_index=True, return_inverse=True
        )
        sizes, width = numpy.bincount(inverse), pool.classes + 1
        pairs, counts = numpy.unique(inverse * width + pool.labels[waiting], return_counts=True)
        # Classes times the variance of a group's class counts, as integers, so that equal values
        # compare as equal.
        spread = pool.classes * _sum_by_owner(counts**2, pairs // width, len(sizes)) - sizes**2
        order = numpy.lexsort((pool.random_keys[waiting][firsts], -spread))
        pairs = numpy.append(pairs, numpy.arange(len(sizes)) * width + pool.classes)
        rank = numpy.argsort(order)
        by_rank = numpy.lexsort((pairs % width, rank[pairs // width]))
        starts = numpy.append(0, numpy.cumsum(numpy.bincount(pairs // width)[order]))
        return _Groups(
            numbers[order], starts, (pairs % width)[by_rank], numpy.append(counts, sizes)[by_rank]
        )


def _sum_by_owner(values: "numpy.ndarray", owners: "numpy.ndarray", count: int) -> "numpy.ndarray":
    """Return the sum of each owner's integers, int64 (count,); sorted owners, none absent."""
    import numpy

    return numpy.add.reduceat(values, numpy.searchsorted(owners, numpy.arange(count)))


@dataclass(frozen=True, eq=False)
class _Balance:
    """How far the subsets are from their fractions; updated as groups are assigned.

    An extra column counts the images of all classes; it weighs as much as all classes together.

    Attributes:
        fractions: of the subsets, float64 (subsets,).
        image_weights: float64 (classes + 1,): what an image adds to a column: 1 / images of the
            class.
        excess: float64 (subsets, classes + 1): the part of the class that a subset has, minus its
            fraction.
        missing: int64 (subsets, classes + 1): groups of the class that a subset still needs.
        remaining: int64 (classes + 1,): groups of the class that are not assigned yet.
    """

    fractions: "numpy.ndarray"
    image_weights: "numpy.ndarray"
    excess: "numpy.ndarray"
    missing: "numpy.ndarray"
    remaining: "numpy.ndarray"

    @staticmethod
    def compute(
        pool: Pool, assigned: "numpy.ndarray", fractions: "numpy.ndarray", needed: "numpy.ndarray"
    ) -> "_Balance":
        """Compute the balance of the assignments so far."""
        import numpy

        totals = pool.count_images(numpy.ones(len(assigned), bool))
        weight = numpy.sqrt(numpy.count_nonzero(totals))
        image_weights = numpy.append(1 / numpy.maximum(totals, 1), weight / len(assigned))
        subsets = [assigned == number for number in range(len(fractions))]
        images = numpy.array(
            [[*pool.count_images(subset), numpy.count_nonzero(subset)] for subset in subsets]
        )
        full = numpy.append(totals > 0, weight)
        missing = numpy.array(
            [
                numpy.maximum(count - pool.count_groups(subset), 0)
                for count, subset in zip(needed, subsets, strict=True)
            ]
        )
        missing[:, totals == 0] = 0
        remaining = pool.count_groups(assigned == UNASSIGNED)
        return _Balance(
            fractions,
            image_weights,
            images * image_weights - numpy.outer(fractions, full),
            numpy.pad(missing, ((0, 0), (0, 1))),
            numpy.append(remaining, 0),
        )


def _assign_greedily(groups: _Groups, balance: _Balance) -> "numpy.ndarray":
    """Assign the groups one by one, each to the subset where it reduces chi-squared most.

    Chi-squared is the sum of excess² / fraction over subsets and columns.

    Returns:
        The subset of each group, int64 (groups,).
    """
    import numpy

    fractions, excess = balance.fractions, balance.excess
    missing, remaining = balance.missing, balance.remaining
    adds = groups.counts * balance.image_weights[groups.columns]
    subsets = numpy.empty(len(groups.numbers), numpy.int64)
    total_missing = missing.sum()
    for group, (start, end) in enumerate(itertools.pairwise(groups.starts.tolist())):
        columns, added = groups.columns[start:end], adds[start:end]
        # A cumulative sum adds from left to right on every processor; `sum` and `@` do not, and one
        # bit of difference would change the split.
        change = (
            numpy.add.accumulate((2 * excess[:, columns] + added) * added, axis=1)[:, -1]
            / fractions
        )
        if total_missing:
            needed = missing[:, columns]
            urgent = numpy.count_nonzero(
                (needed > 0) & (needed.sum(axis=0) >= remaining[columns]), axis=1
            )
            change[urgent < urgent.max()] = numpy.inf
        subset = subsets[group] = int(change.argmin())
        excess[subset, columns] += added
        if total_missing:
            met = missing[subset, columns] > 0
            missing[subset, columns] -= met
            remaining[columns] -= 1
            total_missing -= numpy.count_nonzero(met)
    return subsets
