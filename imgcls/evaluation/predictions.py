"""The saved predictions on a split, from which metrics and figures are computed. Light zone."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import model_validator

from imgcls.config import Tta
from imgcls.datasets import SplitName
from imgcls.errors import DataError
from imgcls.evaluation.chunks import divide_rows
from imgcls.io import files, terminal
from imgcls.io.array_records import Array, ArrayRecord, NDArray, read_arrays, write_arrays
from imgcls.result_folder import ResultFolder
from imgcls.run import Run
from imgcls.store.manifest import DataDescription

if TYPE_CHECKING:
    import numpy

    Quantity = Callable[["Predictions"], numpy.ndarray]


@dataclass(frozen=True)
class Predictions:
    """A model's predictions on a split.

    Attributes:
        probabilities: float32 (images, classes), rows sum to 1.
        labels: true class numbers, int32 (images,).
        ids: image ids from the store.
        classes: class names in label order; a class may be absent from `labels`.
        model: SHA-256 of the model file that made the predictions.
        temperature: by which this model divides its logits. Before calibration, the probabilities
            are `probabilities ** temperature`, divided by the sums of the rows. None if they are
            averages over views, or of several models, each with its own.
        validation: this model's predictions on the validation split, on which metrics choose
            thresholds; None if this is that split, or if there are none.
    """

    probabilities: "numpy.ndarray"
    labels: "numpy.ndarray"
    ids: list[str]
    classes: list[str]
    model: str
    temperature: float | None
    validation: "Predictions | None" = None
    _cached: "dict[Quantity, numpy.ndarray]" = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def per_image(self, quantity: "Quantity") -> "numpy.ndarray":
        """Compute a quantity of every image, and cache it for later calls.

        Args:
            quantity: a module-level function, or an object that equals the one of a later call,
                since it is the key of the cache. The value of an image must not depend on other
                images, because bootstrap samples gather values from the cache.

        Returns:
            (images, ...).
        """
        if quantity not in self._cached:
            self._cached[quantity] = quantity(self)
        return self._cached[quantity]

    @property
    def predicted(self) -> "numpy.ndarray":
        """The most probable class of each image, int64 (images,); the lowest number on a tie."""
        return self.per_image(_find_most_probable)


def undo_temperature(predictions: Predictions) -> Predictions | None:
    """Return the predictions as they would be without the temperature that the model applies.

    None if it is 1, which changes nothing, or if no one temperature was applied.
    """
    import numpy

    temperature = predictions.temperature
    if temperature is None or temperature == 1:
        return None
    before = numpy.empty_like(predictions.probabilities)
    for rows in divide_rows(before):
        with numpy.errstate(divide="ignore"):  # a probability of 0 stays 0
            logits = numpy.log(predictions.probabilities[rows].astype(numpy.float64))
        logits *= temperature
        # So that powers of small numbers do not underflow.
        logits -= logits.max(axis=1, keepdims=True)
        numpy.exp(logits, out=logits)
        before[rows] = logits / logits.sum(axis=1, keepdims=True)
    return replace(predictions, probabilities=before, temperature=1.0, validation=None)


def match_model(predictions: Predictions, run: Run) -> bool:
    """Return whether the run's model.keras made these predictions; False if it does not exist."""
    return run.model_file.is_file() and predictions.model == files.compute_sha256(run.model_file)


def _find_most_probable(predictions: Predictions) -> "numpy.ndarray":
    return predictions.probabilities.argmax(axis=1)


class PredictionArrays(ArrayRecord):
    """The arrays of a predictions file, with one row per image."""

    probabilities: Annotated[NDArray, Array("float32", "images", "classes")]
    """Rows sum to 1."""
    labels: Annotated[NDArray, Array("int32", "images")]
    """True class numbers."""
    ids: Annotated[NDArray, Array("U", "images")]
    """Image ids from the store."""
    classes: Annotated[NDArray, Array("U", "classes")]
    """Class names in label order."""
    model: Annotated[NDArray, Array("U")]
    """The SHA-256 of the model file that made the predictions; or, of an exported artifact, its
    `artifact_sha256` in metadata.json."""
    temperature: Annotated[NDArray, Array("float64")] | None = None
    """The temperature by which this model divides its logits; missing if the probabilities are
    averages over views, or those of several models."""

    @model_validator(mode="after")
    def _require_sound_values(self) -> Self:
        import numpy

        if not numpy.isfinite(self.probabilities).all():
            raise ValueError("probabilities should be finite numbers")
        if self.temperature is not None and not 0 < self.temperature < numpy.inf:
            raise ValueError(f"temperature should be positive and finite, got {self.temperature}")
        labels, classes = self.labels, len(self.classes)
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(f"labels should be from 0 to {classes - 1}, got {labels.max()}")
        return self


def save(predictions: Predictions, path: Path) -> None:
    """Write predictions atomically to an .npz file."""
    import numpy

    temperature = predictions.temperature
    write_arrays(
        path,
        PredictionArrays(
            probabilities=predictions.probabilities,
            labels=predictions.labels,
            ids=numpy.array(predictions.ids, dtype=str),
            classes=numpy.array(predictions.classes, dtype=str),
            model=numpy.array(predictions.model),
            temperature=None if temperature is None else numpy.array(temperature, numpy.float64),
        ),
    )


def load(run: ResultFolder, split: SplitName, tta: Tta | None = None) -> Predictions:
    """Load the predictions of a run, or the pooled ones of a family, on a split.

    Args:
        tta: the method of test-time augmentation; None for the plain predictions.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = run.predictions_file(split, tta)
    arrays = read_arrays(path, PredictionArrays, run.get_evaluation_advice(split))
    return Predictions(
        probabilities=arrays.probabilities,
        labels=arrays.labels,
        ids=arrays.ids.tolist(),
        classes=arrays.classes.tolist(),
        model=str(arrays.model),
        temperature=None if arrays.temperature is None else float(arrays.temperature),
    )


def find_current(run: Run, split: SplitName, tta: Tta | None = None) -> Predictions | None:
    """Return the saved predictions of the run's current model on a split; None if there are none.
    `tta` is that of `load`.

    They are checked with data.json and the SHA-256 of the model, so that a run can be evaluated
    without its store.
    """
    if not os.path.lexists(run.predictions_file(split, tta)) or not run.model_file.is_file():
        return None
    return find_saved(run, split, run.data, files.compute_sha256(run.model_file), tta)


def find_saved(
    folder: ResultFolder,
    split: SplitName,
    data: DataDescription,
    model: str,
    tta: Tta | None = None,
) -> Predictions | None:
    """Return the predictions in a folder, if they are those of a model on a split; else None.

    Args:
        data: of the run.
        model: the SHA-256 of the model, or artifact, that must have made them.
        tta: that of `load`.
    """
    if not os.path.lexists(folder.predictions_file(split, tta)):
        return None
    try:
        saved = load(folder, split, tta)
    except DataError as error:
        terminal.note(f"predicting again: {error}")
        return None
    expected = (data.classes, data.sizes[split], model)
    return saved if (saved.classes, len(saved.ids), saved.model) == expected else None
