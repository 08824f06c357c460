"""The pooled out-of-fold predictions of a family, for the figures of predictions. Light zone."""

from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from imgcls.config import Experiment
from imgcls.evaluation import predictions
from imgcls.evaluation.predictions import Predictions
from imgcls.family import Family
from imgcls.figures import NotDrawableError, Subject

if TYPE_CHECKING:
    from imgcls.datasets import SplitName


class PooledSubject(Subject):
    """What `Subject` has of the predictions alone: each fold has its own log, data and split."""

    def __init__(self, family: Family, experiment: Experiment):
        super().__init__(family.runs[0], experiment)
        self._family = family

    @property
    def folder(self) -> Family:
        """The folder that holds the evaluations."""
        return self._family

    @cached_property
    def evaluated_split(self) -> "SplitName":
        """The split whose predictions are pooled."""
        return "test"

    @cached_property
    def predictions(self) -> Predictions:
        """The pooled predictions.

        Raises:
            DataError: the file is missing or damaged.
        """
        return predictions.load(self._family, self.evaluated_split)

    @property
    def classes(self) -> list[str]:
        """Class names in label order."""
        return self.predictions.classes

    @property
    def evaluated_title(self) -> str:
        """What the predictions are of, for titles."""
        return f"out-of-fold, {len(self.predictions.labels):,} images"

    @cached_property
    def log(self) -> NoReturn:
        """Not there: each run has its own."""
        raise self._make_error("log")

    @cached_property
    def data(self) -> NoReturn:
        """Not there: each run has its own."""
        raise self._make_error("data")

    def _make_error(self, name: str) -> NotDrawableError:
        return NotDrawableError(f"each run of {self._family.folder} has its own {name}")
