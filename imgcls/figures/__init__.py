"""Figures: each file holds `Settings` and `draw(settings, subject) -> matplotlib.figure.Figure`.
Light zone.

The first paragraph of a part's docstring is its caption on the report page, and its constant
`HOW_TO_READ` a sentence for people who see such a figure for the first time. `draw` is called
within `imgcls.figures._style.apply_style()`; it raises `NotDrawableError` if the run lacks the data
for the figure. Files whose names begin with an underscore are shared code, not figures. matplotlib
and numpy are imported inside functions.
"""

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.errors import UserError
from imgcls.evaluation import predictions
from imgcls.io import files

if TYPE_CHECKING:
    from imgcls.compression.table_record import CompressionTable
    from imgcls.config import Experiment
    from imgcls.datasets import SplitName
    from imgcls.evaluation.predictions import Predictions
    from imgcls.evaluation.robustness_record import Robustness
    from imgcls.metrics import Result
    from imgcls.result_folder import ResultFolder
    from imgcls.run import Run
    from imgcls.store.manifest import DataDescription
    from imgcls.store.reader import Reader
    from imgcls.store.split_file import Split
    from imgcls.store.store import Store
    from imgcls.training.history import EpochLog


class NotDrawableError(UserError):
    """The run does not have the data that a figure needs (yet).

    Exit code 2 if the figure was requested by name.
    """


class DoesNotApplyError(NotDrawableError):
    """The figure is of another kind of run; unless requested by name, nothing is said of it."""


class Subject:
    """The data of a run that figures can show, loaded lazily and cached.

    Args:
        experiment: that of the run, or one that differs in settings that do not affect training.
    """

    def __init__(self, run: "Run", experiment: "Experiment"):
        self.run = run
        self.experiment = experiment

    @cached_property
    def log(self) -> "list[EpochLog]":
        """The log entries of all epochs so far, at least one.

        Raises:
            NotDrawableError: no epoch is finished.
            DataError: the log is damaged.
        """
        epochs = self.run.log
        if not epochs:
            raise NotDrawableError(
                f"{self.run.folder} has not finished an epoch; run `imgcls train` first"
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
            raise NotDrawableError(f"{self.run.folder} has no data.json; run `imgcls train` first")
        return self.run.data

    @property
    def classes(self) -> list[str]:
        """Class names in label order."""
        return self.data.classes

    @cached_property
    def _store_and_split(self) -> "tuple[Store, Split]":
        from imgcls.store.lookup import open_run_store

        return open_run_store(self.data, self.experiment.data.store_dir)

    @property
    def store(self) -> "Store":
        """The store that the run was trained on.

        Raises:
            DataError: the store is missing, or its content has changed.
        """
        return self._store_and_split[0]

    @property
    def split(self) -> "Split":
        """The split that the run was trained on; raises as `store` does."""
        return self._store_and_split[1]

    @property
    def images(self) -> "Reader":
        """Reads images at the size of the model's input; raises as `store` does."""
        return self.store.open_reader(self.split.geometry)

    @property
    def folder(self) -> "ResultFolder":
        """The folder that holds the evaluations."""
        return self.run

    @cached_property
    def evaluated_split(self) -> "SplitName":
        """The split of `predictions`: test, or validation if test was not evaluated.

        Raises:
            NotDrawableError: neither was evaluated.
        """
        names: tuple[SplitName, ...] = ("test", "validation")
        for name in names:
            if os.path.lexists(self.run.predictions_file(name)):
                return name
        raise NotDrawableError(
            f"{self.run.folder} has no predictions; run `imgcls eval {self.run.folder}` first"
        )

    @cached_property
    def predictions(self) -> "Predictions":
        """The predictions on `evaluated_split`, with those on validation if `eval` saved them.

        Raises:
            NotDrawableError: no split was evaluated, or model.keras changed since.
            DataError: the file is damaged.
        """
        loaded = predictions.load(self.run, self.evaluated_split)
        self.require_current_model(
            loaded.model, "the predictions", f"imgcls eval {self.run.folder}"
        )
        return replace(loaded, validation=self._load_validation(loaded.model))

    def find_robustness(self, split: str) -> "Robustness | None":
        """Return the metrics under corruptions of the run's current model; None without any.

        Raises:
            DataError: corruptions.json is damaged.
        """
        if not os.path.lexists(self.folder.robustness_file(split)):
            return None
        found = self.folder.read_robustness(split)
        path = self.run.model_file
        is_current = not path.is_file() or files.compute_sha256(path) == found.model
        return found if is_current else None

    def require_current_model(self, model: str, what: str, command: str) -> None:
        """Check that the run's model made a result.

        Args:
            model: the SHA-256 of the model that made it.
            what: the result, for the message.
            command: that makes it again.

        Raises:
            NotDrawableError: model.keras exists, and is another one.
        """
        path = self.run.model_file
        if path.is_file() and files.compute_sha256(path) != model:
            raise NotDrawableError(
                f"{what} in {self.run.folder} were made by an earlier {path.name}; run `{command}`"
                " again"
            )

    def _load_validation(self, model: str) -> "Predictions | None":
        """Return the same model's saved predictions on validation, if that is another split."""
        path = self.run.predictions_file("validation")
        if self.evaluated_split == "validation" or not os.path.lexists(path):
            return None
        loaded = predictions.load(self.run, "validation")
        return loaded if loaded.model == model else None

    @cached_property
    def compression_table(self) -> "CompressionTable":
        """How a compressed run differs from its original.

        Raises:
            DoesNotApplyError: the run was not compressed.
            NotDrawableError: it was not compared yet, or its model changed since.
            DataError: compression_table.json is damaged.
        """
        from imgcls.compression.table_record import find_table

        if not self.run.is_compressed:
            raise DoesNotApplyError(f"{self.run.folder} was not compressed; see `imgcls compress`")
        found = find_table(self.run)
        if found is None:
            raise NotDrawableError(
                f"{self.run.folder} was not compared with its original; run the command that"
                " compressed it again"
            )
        return found

    def compute_metric(self, metric: str, found: "Predictions | None" = None) -> "Result":
        """Compute a metric of the predictions.

        Args:
            found: the predictions, if not those of `evaluated_split`.
            metric: name of a part. The experiment's settings are used if it lists this metric, else
                the default ones.
        """
        listed = [each for each in self.experiment.evaluate.metrics if each.name == metric]
        settings = listed[0] if listed else parts.make_default_settings("metrics", metric)
        return parts.load_for("metrics", settings).compute(settings, found or self.predictions)

    @property
    def evaluated_title(self) -> str:
        """Split and number of images for titles, such as `test split, 360 images`."""
        return f"{self.evaluated_split} split, {len(self.predictions.labels):,} images"
