"""Saved predictions: every metric and figure of a split is computed from this one file. Light
zone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.io import files

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
        """Return a quantity of every image, (images, ...), which is computed once and kept.

        `quantity` is a function of a module, not a lambda, which would be another one each time. An
        image's value must not depend on the other images: a bootstrap
        (imgcls/evaluation/bootstrap.py) gathers what is kept here.
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


def save(predictions: Predictions, path: Path) -> None:
    """Write predictions to an .npz file, atomically."""
    import numpy

    with files.replace_file(path) as stream:
        numpy.savez(
            stream,
            probabilities=predictions.probabilities,
            labels=predictions.labels,
            ids=numpy.array(predictions.ids, dtype=str),
            classes=numpy.array(predictions.classes, dtype=str),
            model=numpy.array(predictions.model),
        )


def load(path: Path) -> Predictions:
    """Read what `save` wrote."""
    import numpy

    with path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as arrays:
        return Predictions(
            probabilities=arrays["probabilities"],
            labels=arrays["labels"],
            ids=arrays["ids"].tolist(),
            classes=arrays["classes"].tolist(),
            model=str(arrays["model"]),
        )
