"""Placing whole groups, such as all images of a patient, on sides that are to have shares of each
class. Light zone.

A greedy method, as in scikit-learn's StratifiedGroupKFold: groups whose class counts spread most
come first, and each goes to the side that it brings nearest to its shares. Here the shares may
differ, and every side gets each class while there are groups that have it.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgcls.split.pool import UNASSIGNED, Pool
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy


def number_groups(store: Store) -> "numpy.ndarray":
    """Return the number of each image's group, from 0 on, int64 (count,); an image without a group
    is one of its own.
    """
    import numpy

    if store.groups is None:
        return numpy.arange(store.count)
    return numpy.unique(store.groups, return_inverse=True)[1]


def assign_groups(pool: Pool, shares: "numpy.ndarray", needed: "numpy.ndarray") -> "numpy.ndarray":
    """Return the side of each image, int64 (n,): `OPEN` where an image is alone in its group and
    has no side yet.

    What is left open can make up for what the groups could not meet.

    Args:
        shares: of all images on each side, float64 (sides,), with the sum 1.
        needed: the least number of groups of each class on each side, int64 (sides,); met as far as
            possible.
    """
    import numpy

    given = _extend_to_groups(pool)
    waiting = (given == UNASSIGNED) & (numpy.bincount(pool.groups)[pool.groups] > 1)
    if not waiting.any():
        return given
    groups = _Groups.of(pool, waiting)
    sides = _assign_greedily(groups, _Balance.of(pool, given, shares, needed))
    side_of_group = numpy.full(pool.groups.max() + 1, UNASSIGNED)
    side_of_group[groups.numbers] = sides
    given[waiting] = side_of_group[pool.groups[waiting]]
    return given


def _extend_to_groups(pool: Pool) -> "numpy.ndarray":
    """Return the sides given before, also to the open images of a group that has one."""
    import numpy

    known = pool.assigned != UNASSIGNED
    side_of_group = numpy.full(pool.groups.max() + 1, UNASSIGNED)
    side_of_group[pool.groups[known]] = pool.assigned[known]
    return numpy.where(known, pool.assigned, side_of_group[pool.groups])


@dataclass(frozen=True, eq=False)
class _Groups:
    """Groups to be placed, in the order of placing, and what is in each.

    Attributes:
        numbers: of the groups, int64 (groups,).
        starts: int64 (groups + 1,): group i has the places starts[i] to starts[i + 1] of the next
            two.
        columns: the classes of a group, and behind them the number of classes, which stands for all
            of them, int64 (places,).
        counts: images of the group in each column, int64 (places,).
    """

    numbers: "numpy.ndarray"
    starts: "numpy.ndarray"
    columns: "numpy.ndarray"
    counts: "numpy.ndarray"

    @staticmethod
    def of(pool: Pool, waiting: "numpy.ndarray") -> "_Groups":
        """Collect the groups of some images (bool, n)."""
        import numpy

        numbers, firsts, inverse = numpy.unique(
            pool.groups[waiting], return_index=True, return_inverse=True
        )
        sizes, width = numpy.bincount(inverse), pool.classes + 1
        pairs, counts = numpy.unique(inverse * width + pool.labels[waiting], return_counts=True)
        # Classes times the variance of a group's class counts, in whole numbers, so that equal ones
        # are equal.
        spread = pool.classes * _sum_by_owner(counts**2, pairs // width, len(sizes)) - sizes**2
        order = numpy.lexsort((pool.order[waiting][firsts], -spread))
        pairs = numpy.append(pairs, numpy.arange(len(sizes)) * width + pool.classes)
        place = numpy.argsort(order)
        by_place = numpy.lexsort((pairs % width, place[pairs // width]))
        starts = numpy.append(0, numpy.cumsum(numpy.bincount(pairs // width)[order]))
        return _Groups(
            numbers[order], starts, (pairs % width)[by_place], numpy.append(counts, sizes)[by_place]
        )


def _sum_by_owner(values: "numpy.ndarray", owners: "numpy.ndarray", count: int) -> "numpy.ndarray":
    """Return the sum of each owner's whole numbers, int64 (count,); the owners are sorted, and each
    has some.
    """
    import numpy

    return numpy.add.reduceat(values, numpy.searchsorted(owners, numpy.arange(count)))


@dataclass(frozen=True, eq=False)
class _Balance:
    """How far the sides are from what they are to have; changed as groups are placed.

    The images of all classes together are one more column, which weighs as much as all classes do.

    Attributes:
        shares: float64 (sides,).
        worth: float64 (classes + 1,): what an image of a class adds to its column: its part of the
            class.
        excess: float64 (sides, classes + 1): the part that a side has, less its share.
        lacking: int64 (sides, classes + 1): groups of the class that a side needs yet.
        left: int64 (classes + 1,): groups of the class that have no side yet.
    """

    shares: "numpy.ndarray"
    worth: "numpy.ndarray"
    excess: "numpy.ndarray"
    lacking: "numpy.ndarray"
    left: "numpy.ndarray"

    @staticmethod
    def of(
        pool: Pool, given: "numpy.ndarray", shares: "numpy.ndarray", needed: "numpy.ndarray"
    ) -> "_Balance":
        """Take stock of the sides given so far."""
        import numpy

        everywhere = numpy.ones(len(given), bool)
        totals = pool.images(everywhere)
        weight = numpy.sqrt(numpy.count_nonzero(totals))
        worth = numpy.append(1 / numpy.maximum(totals, 1), weight / len(given))
        sides = [given == side for side in range(len(shares))]
        images = numpy.array([[*pool.images(side), numpy.count_nonzero(side)] for side in sides])
        full = numpy.append(totals > 0, weight)
        lacking = numpy.array(
            [
                numpy.maximum(need - pool.count_groups(side), 0)
                for need, side in zip(needed, sides, strict=True)
            ]
        )
        lacking[:, totals == 0] = 0
        left = pool.count_groups(given == UNASSIGNED)
        return _Balance(
            shares,
            worth,
            images * worth - numpy.outer(shares, full),
            numpy.pad(lacking, ((0, 0), (0, 1))),
            numpy.append(left, 0),
        )


def _assign_greedily(groups: _Groups, balance: _Balance) -> "numpy.ndarray":
    """Place the groups one by one, each where it lessens chi-squared most: the sum of excess² /
    share over sides and columns.

    Returns:
        The side of each group, int64 (groups,).
    """
    import numpy

    shares, excess, lacking, left = balance.shares, balance.excess, balance.lacking, balance.left
    adds = groups.counts * balance.worth[groups.columns]
    sides = numpy.empty(len(groups.numbers), numpy.int64)
    owed = lacking.sum()
    for group, (start, end) in enumerate(itertools.pairwise(groups.starts.tolist())):
        columns, added = groups.columns[start:end], adds[start:end]
        # A running sum adds from left to right on every processor; `sum` and `@` do not, and a last
        # bit would change the split.
        change = (
            numpy.add.accumulate((2 * excess[:, columns] + added) * added, axis=1)[:, -1] / shares
        )
        if owed:
            wanting = lacking[:, columns]
            urgent = numpy.count_nonzero(
                (wanting > 0) & (wanting.sum(axis=0) >= left[columns]), axis=1
            )
            change[urgent < urgent.max()] = numpy.inf
        side = sides[group] = int(change.argmin())
        excess[side, columns] += added
        if owed:
            met = lacking[side, columns] > 0
            lacking[side, columns] -= met
            left[columns] -= 1
            owed -= numpy.count_nonzero(met)
    return sides
