"""Average precision, one-vs-rest: per class, macro and micro. Light zone.

The area under the precision-recall curve as a sum of steps, without interpolation, as in
scikit-learn: the mean over a class's images of the precision with the image's score as threshold
(Manning, Raghavan and Schütze, 2008, section 8.4). Range 0 to 1; a random ranking gets the class's
fraction of the images. Undefined for a class that has none or all of the split's images.
"""

from typing import TYPE_CHECKING

from imgcls.metrics import Direction, MetricSettings, Result
from imgcls.metrics._ranking import compute_one_vs_rest

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """Average precision has no settings."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The macro and the micro average."""
        return {"macro_average_precision": "higher", "micro_average_precision": "higher"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the average precision of each class, and its averages."""
    return compute_one_vs_rest(predictions, "average_precision", compute_average_precision)


def compute_average_precision(scores: "numpy.ndarray", positive: "numpy.ndarray") -> float:
    """Return the average precision of a ranking.

    Args:
        scores: of all images, sorted, not empty.
        positive: of the images of the class, sorted, not empty.
    """
    import numpy

    predicted_positives = len(scores) - numpy.searchsorted(scores, positive, "left")
    true_positives = len(positive) - numpy.searchsorted(positive, positive, "left")
    return float((true_positives / predicted_positives).mean())
