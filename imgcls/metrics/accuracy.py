"""Accuracy: the fraction of images whose most probable class is the true one. Light zone.

On a tie, the lowest class number counts as the most probable. Range 0 to 1.
"""

from typing import TYPE_CHECKING

from imgcls.metrics import Direction, MetricSettings, Result

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """Accuracy has no settings."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The accuracy."""
        return {"accuracy": "higher"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the accuracy."""
    correct = predictions.per_image(is_correct)
    return Result(
        {"accuracy": float(correct.mean())},
        fractions={"accuracy": (int(correct.sum()), len(correct))},
    )


def is_correct(predictions: "Predictions") -> "numpy.ndarray":
    """Return whether each image is classified correctly, bool (images,)."""
    return predictions.predicted == predictions.labels
