"""Accuracy: the share of images whose most probable class is the true one. Light zone.

The lowest class number wins among equals. Range 0 to 1.
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
        """The one number."""
        return {"accuracy": "higher"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Return the accuracy."""
    return Result({"accuracy": float(predictions.per_image(is_correct).mean())})


def is_correct(predictions: "Predictions") -> "numpy.ndarray":
    """Tell for each image whether the most probable class is the true one: bool (images,)."""
    return predictions.predicted == predictions.labels
