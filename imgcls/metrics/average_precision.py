"""Average precision, one class against the rest: per class, macro and micro. Light zone.

The precision-recall curve as a sum of steps, without interpolation: the mean over a class's images
of the precision at the threshold that just admits the image, as in scikit-learn (Manning, Raghavan
and Schütze, 2008, section 8.4). Range 0 to 1, chance is the class's share. Undefined for a class
that no image or every image of the split has.
"""

from typing import TYPE_CHECKING

from imgcls.metrics import Direction, MetricSettings, Result
from imgcls.metrics._ranking import one_vs_rest

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """Average precision has no settings."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The mean over classes, and that of the pooled ranking."""
        return {"macro_average_precision": "higher", "micro_average_precision": "higher"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Return the average precisions."""
    return one_vs_rest(predictions, "average_precision", compute_average_precision)


def compute_average_precision(scores: "numpy.ndarray", positive: "numpy.ndarray") -> float:
    """Return the average precision from the sorted scores of all and of the positive, both
    non-empty.
    """
    import numpy

    admitted = len(scores) - numpy.searchsorted(scores, positive, "left")
    found = len(positive) - numpy.searchsorted(positive, positive, "left")
    return float((found / admitted).mean())
