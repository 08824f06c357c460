"""Brier score: the mean over images of the summed squared differences between probabilities and
truth. Light zone.

The multi-class form of Brier (1950, equation 2): the sum over all classes, not halved. Range 0 to
2, lower is better; 1 - 1/classes is what a uniform guess gets.
"""

from typing import TYPE_CHECKING

from imgcls.metrics import Direction, MetricSettings, Result

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The Brier score has no settings."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The one number."""
        return {"brier": "lower"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Return the Brier score."""
    import numpy

    return Result(
        {"brier": float(predictions.per_image(compute_squared_error).mean(dtype=numpy.float64))}
    )


def compute_squared_error(predictions: "Predictions") -> "numpy.ndarray":
    """Return each image's squared distance between its probabilities and the one-hot truth: float32
    (images,), 0 to 2.
    """
    import numpy

    # Subtracted before squaring: expanding the square cancels, and gives a good model a negative
    # score.
    difference = predictions.probabilities.copy()
    difference[numpy.arange(len(difference)), predictions.labels] -= 1
    return numpy.einsum("ij,ij->i", difference, difference)
