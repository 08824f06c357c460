"""What is compared: runs, and families of runs. Light zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imgcls.config import Experiment
from imgcls.evaluation import families
from imgcls.evaluation.predictions import Predictions
from imgcls.family import By, Family
from imgcls.run import Run


@dataclass(frozen=True)
class Candidate:
    """A run or a family.

    Attributes:
        run_or_family: finished.
        experiment: its experiment; settings that do not affect training may differ.
    """

    run_or_family: Run | Family
    experiment: Experiment

    @property
    def folder(self) -> Path:
        """The folder of the run or the family."""
        return self.run_or_family.folder

    @cached_property
    def runs(self) -> list[Run]:
        """The runs of the family, or the run alone."""
        found = self.run_or_family
        return found.runs if isinstance(found, Family) else [found]

    @property
    def by(self) -> By | None:
        """What the runs of the family differ in; None for a single run."""
        found = self.run_or_family
        return found.record.by if isinstance(found, Family) else None


@dataclass(frozen=True)
class PredictedCandidate:
    """A candidate with the predictions of its runs on a split.

    Attributes:
        predictions: one of each run. Those of folds are of different images, all others of the same
            images.
    """

    candidate: Candidate
    predictions: list[Predictions]

    @cached_property
    def replicates(self) -> Sequence[Predictions]:
        """The predictions of each seed, or the pooled predictions of all folds: each on all
        compared images, in the same order.
        """
        family = self.candidate.run_or_family
        if isinstance(family, Family) and family.record.by == "fold":
            return [families.pool_predictions(family, self.predictions)]
        return self.predictions
