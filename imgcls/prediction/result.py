"""What `Classifier.predict` returns. Heavy zone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

if TYPE_CHECKING:
    from imgcls.prediction.classifier import PredictedBatch


@dataclass(frozen=True, eq=False)
class PredictionResult:
    """The predictions of a model on images, in their order.

    Attributes:
        classes: class names, in the order of the probabilities.
        ids: the paths as they were given; of arrays, their numbers from 0.
        probabilities: float32 (images, classes), rows sum to 1; a row of an image that cannot be
            read is not a number (NaN).
        errors: why each image cannot be read; None where it was predicted.
    """

    classes: list[str]
    ids: list[str]
    probabilities: numpy.ndarray
    errors: list[str | None]

    @property
    def predicted(self) -> list[str | None]:
        """The most probable class of each image; None for one that cannot be read."""
        return [
            None if error else self.classes[int(row.argmax())]
            for row, error in zip(self.probabilities, self.errors, strict=True)
        ]

    @classmethod
    def join(cls, classes: list[str], batches: "Iterable[PredictedBatch]") -> "PredictionResult":
        """Return the predictions of batches that follow each other."""
        ids: list[str] = []
        errors: list[str | None] = []
        rows = [numpy.zeros((0, len(classes)), numpy.float32)]
        for batch in batches:
            ids += [each.path for each in batch.inputs]
            problems = [each.problem for each in batch.inputs]
            errors += problems
            aligned = numpy.full((len(problems), len(classes)), numpy.nan, numpy.float32)
            aligned[[problem is None for problem in problems]] = batch.probabilities
            rows.append(aligned)
        return cls(classes, ids, numpy.concatenate(rows), errors)
