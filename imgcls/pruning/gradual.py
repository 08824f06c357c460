"""Removes channels in several steps, between which the network is trained. Heavy zone."""

import numpy

from imgcls.backend import keras
from imgcls.models._cost import count_multiply_adds
from imgcls.pruning.multiply_adds import count_each
from imgcls.pruning.plan import Limits, Planner
from imgcls.pruning.rebuild import remove_channels
from imgcls.pruning.scores import compute_scores
from imgcls.pruning.trace import Trace, trace

GONE = -1.0
"""The score of groups that were removed before: below all others, so that they stay removed."""


class GradualPruning:
    """What is left of a network, in the groups of its original.

    Args:
        model: the original, functional, of Keras's own layers.
        score: as for `compute_scores`.

    Attributes:
        total: the multiply-adds of the original.
        unknown: the layers that the tracing does not know, as in `Trace`.
    """

    def __init__(self, model: keras.Model, score: str, seed: int, limits: Limits):
        self._score, self._seed, self._limits = score, seed, limits
        self._trace = trace(model)
        self._kept = self._trace.keep_all()
        self.total = count_multiply_adds(model)
        self.unknown = self._trace.unknown
        self._fixed = self.total - sum(count_each(self._trace, self._kept))

    def require_reachable(self, model: keras.Model, budget: int) -> None:
        """Check that a budget can be reached, before anything is trained.

        Raises:
            UserError: it cannot, as `Planner.plan` says.
        """
        self._plan(trace(model), budget)

    def prune(self, model: keras.Model, budget: int) -> keras.Model:
        """Return a network of at most a number of multiply-adds.

        Args:
            model: the original, or what this function returned last, trained.

        Raises:
            UserError: the budget cannot be reached.
        """
        traced = trace(model)
        kept = self._plan(traced, budget)
        mask = traced.keep_all()
        for original, now in zip(self._trace.uses, traced.uses, strict=True):
            for before, after in ((original.inputs, now.inputs), (original.outputs, now.outputs)):
                mask[after] = kept[before[self._kept[before]]]
        self._kept = kept
        return remove_channels(model, traced, mask)

    def count_widths(self) -> dict[str, tuple[int, int]]:
        """Return the output channels of each layer with a kernel, in the original and now."""
        return {
            use.name: (len(use.outputs), int(self._kept[use.outputs].sum()))
            for use in self._trace.uses
            if hasattr(use.call.operation, "kernel")
        }

    def _plan(self, now: Trace, budget: int) -> numpy.ndarray:
        """Return a mask of the original's groups, bool, by the scores of what is left of it."""
        found = compute_scores(now, self._score, self._seed)
        scores = numpy.full(self._trace.size, GONE)
        for original, use in zip(self._trace.uses, now.uses, strict=True):
            scores[original.outputs[self._kept[original.outputs]]] = found[use.outputs]
        planner = Planner(self._trace, scores, self._limits, self._fixed)
        return planner.plan(budget, self._kept)
