"""Brier score: the mean squared distance between probabilities and one-hot labels. Light zone.

The original definition for several classes, a sum over all classes that is not halved (Brier, 1950,
equation 2). Range 0 to 2, lower is better; a uniform prediction gets 1 - 1/classes.
"""

from typing import TYPE_CHECKING, ClassVar

from imgcls.evaluation.chunks import divide_rows
from imgcls.metrics import Direction, MetricSettings, Result

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The Brier score has no settings."""

    compared_before_temperature: ClassVar[bool] = True

    @property
    def scalars(self) -> dict[str, Direction]:
        """The Brier score."""
        return {"brier": "lower"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the Brier score."""
    import numpy

    return Result(
        {"brier": float(predictions.per_image(compute_squared_error).mean(dtype=numpy.float64))}
    )


def compute_squared_error(predictions: "Predictions") -> "numpy.ndarray":
    """Return each image's squared distance between probabilities and one-hot label.

    Returns:
        float32 (images,), 0 to 2.
    """
    import numpy

    probabilities, labels = predictions.probabilities, predictions.labels
    squared = numpy.empty(len(labels), numpy.float32)
    for rows in divide_rows(probabilities):
        # Subtract before squaring: expanding the square would lose all digits by cancellation for
        # good models, and give negative scores.
        difference = probabilities[rows].copy()
        difference[numpy.arange(len(difference)), labels[rows]] -= 1
        squared[rows] = numpy.einsum("ij,ij->i", difference, difference)
    return squared
