"""Figures: each file holds `Settings` and `draw(settings, subject) -> matplotlib.figure.Figure`.
Light zone.

The first line of a part's docstring says what the picture shows; the report page prints it below
the picture. `draw` runs inside `imgcls.figures._style.apply_style()` and raises `NotDrawableError`
where the run lacks what it needs. Files whose name begins with an underscore are shared code, not
figures. matplotlib and numpy are imported inside functions.
"""

import os
from functools import cached_property
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.errors import UserError
from imgcls.evaluation import predictions
from imgcls.io import files

if TYPE_CHECKING:
    from imgcls.config import Experiment
    from imgcls.datasets import SplitName
    from imgcls.evaluation.predictions import Predictions
    from imgcls.metrics import Result
    from imgcls.run import Run
    from imgcls.store.manifest import DataDescription
    from imgcls.store.reader import Reader
    from imgcls.store.split_file import Split
    from imgcls.store.store import Store
    from imgcls.training.history import EpochLog


class NotDrawableError(UserError):
    """A figure needs something that the run does not have (yet). Exit code 2 when the figure was
    asked for by name.
    """


class Subject:
    """What a figure may show of a run; each piece is read when a figure first asks for it, and
    once.
    """

    def __init__(self, run: "Run", experiment: "Experiment"):
        """Show a run; its experiment may differ from the run's own in what is decided after
        training.
        """
        self.run = run
        self.experiment = experiment

    @cached_property
    def log(self) -> "list[EpochLog]":
        """The epochs so far, at least one.

        Raises:
            NotDrawableError: no epoch has ended.
            DataError: the log is damaged.
        """
        epochs = self.run.log
        if not epochs:
            raise NotDrawableError(
                f"no epoch of {self.run.folder} has ended; run `imgcls train` first"
            )
        return epochs

    @cached_property
    def data(self) -> "DataDescription":
        """The data that the run was trained on.

        Raises:
            NotDrawableError: data.json does not exist.
            DataError: it is damaged.
        """
        if not os.path.lexists(self.run.data_file):
            raise NotDrawableError(
                f"{self.run.folder} holds no data.json; run `imgcls train` first"
            )
        return self.run.data

    @property
    def classes(self) -> list[str]:
        """The class names in label order."""
        return self.data.classes

    @cached_property
    def _opened(self) -> "tuple[Store, Split]":
        from imgcls.store.lookup import open_run_store

        return open_run_store(self.data, self.experiment.data.store_dir)

    @property
    def store(self) -> "Store":
        """The images.

        Raises:
            DataError: the store that the run was trained on is missing or changed.
        """
        return self._opened[0]

    @property
    def split(self) -> "Split":
        """The rows of the store that make each split; raises as `store` does."""
        return self._opened[1]

    @property
    def images(self) -> "Reader":
        """The images as the model sees them; raises as `store` does."""
        return self.store.reader(self.split.geometry)

    @cached_property
    def evaluated_split(self) -> "SplitName":
        """The split whose predictions are shown: test, or validation where only that was evaluated.

        Raises:
            NotDrawableError: none was evaluated.
        """
        names: tuple[SplitName, ...] = ("test", "validation")
        for name in names:
            if os.path.lexists(self.run.predictions_file(name)):
                return name
        raise NotDrawableError(
            f"{self.run.folder} holds no predictions; run `imgcls eval {self.run.folder}` first"
        )

    @cached_property
    def predictions(self) -> "Predictions":
        """The predictions on `evaluated_split`.

        Raises:
            NotDrawableError: nothing was evaluated, or an earlier model made the predictions.
            DataError: the file is damaged.
        """
        found = predictions.load(self.run, self.evaluated_split)
        if (
            self.run.model_file.is_file()
            and files.compute_sha256(self.run.model_file) != found.model
        ):
            raise NotDrawableError(
                f"the predictions in {self.run.folder} were made by an earlier model.keras; run"
                f" `imgcls eval {self.run.folder}` again"
            )
        return found

    def compute_metric(self, metric: str) -> "Result":
        """Return what a metric says of the predictions, by the experiment's settings of it: the
        numbers of metrics.json.
        """
        own = [settings for settings in self.experiment.evaluate.metrics if settings.name == metric]
        settings = own[0] if own else parts.make_default_settings("metrics", metric)
        return parts.load_for("metrics", settings).compute(settings, self.predictions)

    @property
    def evaluated_title(self) -> str:
        """What a title says of the predictions: `test split, 360 images`."""
        return f"{self.evaluated_split} split, {len(self.predictions.labels):,} images"
