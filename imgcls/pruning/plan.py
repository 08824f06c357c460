"""Chooses the channels to remove for a budget of multiply-adds. Heavy zone."""

import math
from dataclasses import dataclass

import numpy

from imgcls.errors import UserError
from imgcls.pruning.multiply_adds import count_each
from imgcls.pruning.trace import Trace, Use


@dataclass(frozen=True)
class Limits:
    """What is left of each layer.

    Attributes:
        multiple_of: numbers of channels are multiples of this, in layers of at least twice as many.
        min_fraction: fraction of a layer's channels that is kept at least, 0..1.
    """

    multiple_of: int
    min_fraction: float

    def round_up(self, wanted: int, total: int) -> int:
        """Return the number of groups to keep for a wanted one.

        Args:
            total: of the layer.
        """
        multiple = self.multiple_of if total >= 2 * self.multiple_of else 1
        least = max(math.ceil(self.min_fraction * total), 1)
        return min(math.ceil(max(wanted, least) / multiple) * multiple, total)


class Planner:
    """Removes the groups of the lowest scores, as many as a budget needs.

    Args:
        scores: of the groups, float64 (size,).
        fixed: multiply-adds that do not depend on the groups.
    """

    def __init__(self, trace: Trace, scores: numpy.ndarray, limits: Limits, fixed: int = 0):
        self._trace, self._limits, self._fixed = trace, limits, fixed
        self._sets = _list_sets(trace)
        removable = numpy.unique(numpy.concatenate([*self._sets, numpy.zeros(0, numpy.int64)]))
        # By number where scores are equal, so that the order is always the same.
        self._ranked = removable[numpy.argsort(scores[removable], kind="stable")]
        self._ranks = numpy.full(trace.size, -1)
        self._ranks[self._ranked] = numpy.arange(len(self._ranked))

    def count(self, kept: numpy.ndarray) -> int:
        """Return the multiply-adds of a network with some of the groups, bool (size,)."""
        return self._fixed + sum(count_each(self._trace, kept))

    def plan(self, budget: int, present: numpy.ndarray | None = None) -> numpy.ndarray:
        """Return a mask of the groups to keep, bool (size,), for a number of multiply-adds.

        As few as possible are removed in the order of their scores; since this goes in steps of
        `multiple_of`, what fits is added again, in the order of the highest scores.

        Args:
            present: mask of the groups that were not removed before; all unless given.

        Raises:
            UserError: the budget cannot be reached.
        """
        present = self._trace.keep_all() if present is None else present
        if self.count(present) <= budget:
            return present.copy()
        low, high = 0, len(self._ranked)
        if self.count(self._remove(high)) > budget:
            raise UserError(self._explain(budget))
        while low < high:
            middle = (low + high) // 2
            if self.count(self._remove(middle)) <= budget:
                high = middle
            else:
                low = middle + 1
        return self._add_again(self._remove(low) & present, budget, present)

    def _remove(self, number: int) -> numpy.ndarray:
        """Return the mask without a number of groups of the lowest scores, but for the limits."""
        kept = self._trace.keep_all()
        kept[self._ranked[:number]] = False
        for groups in self._sets:
            self._fill(kept, groups, self._limits.round_up(int(kept[groups].sum()), len(groups)))
        return kept

    def _fill(self, kept: numpy.ndarray, groups: numpy.ndarray, number: int) -> None:
        """Keep as many of some groups, those of the highest scores."""
        missing = number - int(kept[groups].sum())
        if missing > 0:
            removed = groups[~kept[groups]]
            best = removed[numpy.argsort(-self._ranks[removed], kind="stable")]
            kept[best[:missing]] = True

    def _add_again(self, kept: numpy.ndarray, budget: int, present: numpy.ndarray) -> numpy.ndarray:
        """Keep more groups of each layer as long as the budget allows it."""
        order = sorted(self._sets, key=lambda groups: -self._find_best_removed(kept, groups))
        for groups in order:
            number = int(kept[groups].sum())
            if number == len(groups):
                continue
            more = kept.copy()
            self._fill(more, groups, self._limits.round_up(number + 1, len(groups)))
            if not (more & ~present).any() and self.count(more) <= budget:
                kept = more
        return kept

    def _find_best_removed(self, kept: numpy.ndarray, groups: numpy.ndarray) -> int:
        removed = groups[~kept[groups]]
        return int(self._ranks[removed].max()) if len(removed) else -1

    def _explain(self, budget: int) -> str:
        """Return why a budget cannot be reached: the layer with the most multiply-adds left."""
        least = self._remove(len(self._ranked))
        full, smallest = self.count(self._trace.keep_all()), self.count(least)
        counts = count_each(self._trace, least)
        largest = self._trace.uses[int(numpy.argmax(counts))]
        fraction = math.ceil(1000 * smallest / full) / 10
        return (
            f"prune: multiply_adds of {100 * budget / full:.1f}% cannot be reached: at least"
            f" {smallest:,} of {full:,} are left, {fraction:g}%; most of them,"
            f" {max(counts):,}, are in layer {largest.name}, {self._explain_layer(largest, least)};"
            f" give at least {fraction:g}%, or change the model"
        )

    def _explain_layer(self, use: Use, least: numpy.ndarray) -> str:
        """Return a clause on the channels of a layer that are left."""
        groups = numpy.concatenate([use.inputs, use.outputs]).tolist()
        reasons = dict.fromkeys(
            self._trace.reasons[group] for group in groups if group in self._trace.reasons
        )
        left = f"{least[use.inputs].sum()} input and {least[use.outputs].sum()} output channels"
        limits = f"min_fraction is {self._limits.min_fraction:g}"
        limits += f" and multiple_of {self._limits.multiple_of}"
        kept = "".join(f"; some are kept since {reason}" for reason in reasons)
        return f"which keeps {left} ({limits}{kept})"


def _list_sets(trace: Trace) -> list[numpy.ndarray]:
    """Return the groups of each layer's output channels that may be removed, int64 (groups,).

    Layers with the same groups are one entry.
    """
    kept = numpy.zeros(trace.size, bool)
    kept[list(trace.reasons)] = True
    found: dict[bytes, numpy.ndarray] = {}
    for use in trace.uses:
        if use.call.kind.startswith("layers.") and getattr(use.call.operation, "weights", None):
            groups = numpy.unique(use.outputs[~kept[use.outputs]])
            if len(groups):
                found.setdefault(groups.tobytes(), groups)
    return list(found.values())
