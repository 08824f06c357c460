"""Saved predictions: every metric and figure of a split is computed from this one file. Light
zone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import model_validator

from imgcls.datasets import SplitName
from imgcls.io.array_records import Array, ArrayRecord, NDArray, read_arrays, write_arrays
from imgcls.run import Run

if TYPE_CHECKING:
    import numpy

    Quantity = Callable[["Predictions"], numpy.ndarray]


@dataclass(frozen=True)
class Predictions:
    """A model's predictions on a split, one row an image.

    Attributes:
        probabilities: float32 (images, classes), rows sum to 1.
        labels: int32 (images,), true class numbers.
        ids: image ids, as the store names them.
        classes: class names in label order; a class may be absent from `labels`.
        model: SHA-256 of the model file that predicted.
    """

    probabilities: "numpy.ndarray"
    labels: "numpy.ndarray"
    ids: list[str]
    classes: list[str]
    model: str
    _cached: "dict[Quantity, numpy.ndarray]" = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def per_image(self, quantity: "Quantity") -> "numpy.ndarray":
        """Return a quantity of every image, (images, ...), which is computed once.

        `quantity` is a function of a module, not a lambda, which would be another one each time. An
        image's value must not depend on the other images: a bootstrap
        (imgcls/evaluation/bootstrap.py) gathers what is cached here.
        """
        if quantity not in self._cached:
            self._cached[quantity] = quantity(self)
        return self._cached[quantity]

    @property
    def predicted(self) -> "numpy.ndarray":
        """The most probable class of each image, the lowest of equals: int64 (images,)."""
        return self.per_image(_most_probable)


def _most_probable(predictions: Predictions) -> "numpy.ndarray":
    return predictions.probabilities.argmax(axis=1)


class PredictionArrays(ArrayRecord):
    """The file of the predictions on a split; a row an image."""

    probabilities: Annotated[NDArray, Array("float32", "images", "classes")]
    """Rows sum to 1."""
    labels: Annotated[NDArray, Array("int32", "images")]
    """True class numbers."""
    ids: Annotated[NDArray, Array("U", "images")]
    """The ids of the images, as the store names them."""
    classes: Annotated[NDArray, Array("U", "classes")]
    """Class names in label order."""
    model: Annotated[NDArray, Array("U")]
    """The SHA-256 of the model file that predicted."""

    @model_validator(mode="after")
    def _require_sound_values(self) -> Self:
        import numpy

        if not numpy.isfinite(self.probabilities).all():
            raise ValueError("probabilities should be finite numbers")
        labels, classes = self.labels, len(self.classes)
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(f"labels should be of {classes} classes, got {labels.max()}")
        return self


def save(predictions: Predictions, path: Path) -> None:
    """Write predictions to an .npz file, atomically."""
    import numpy

    write_arrays(
        path,
        PredictionArrays(
            probabilities=predictions.probabilities,
            labels=predictions.labels,
            ids=numpy.array(predictions.ids, dtype=str),
            classes=numpy.array(predictions.classes, dtype=str),
            model=numpy.array(predictions.model),
        ),
    )


def load(run: Run, split: SplitName) -> Predictions:
    """Read the predictions of a run on a split.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = run.predictions_file(split)
    found = read_arrays(path, PredictionArrays, run.get_evaluation_advice(split))
    return Predictions(
        probabilities=found.probabilities,
        labels=found.labels,
        ids=found.ids.tolist(),
        classes=found.classes.tolist(),
        model=str(found.model),
    )
