"""Area under the ROC curve, one-vs-rest: per class, macro and micro. Light zone.

The area is the probability that an image of the class gets a higher score than an image of another
class, where ties count half (Hanley and McNeil, 1982; Fawcett, 2006). Range 0 to 1; a random
ranking gets 0.5. Undefined for a class that has none or all of the split's images.
"""

from typing import TYPE_CHECKING

from imgcls.metrics import Direction, MetricSettings, Result
from imgcls.metrics._ranking import compute_one_vs_rest

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The area under the ROC curve has no settings."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The macro and the micro average."""
        return {"macro_roc_auc": "higher", "micro_roc_auc": "higher"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the area of each class, and its averages."""
    return compute_one_vs_rest(predictions, "roc_auc", compute_area)


def compute_area(scores: "numpy.ndarray", positive: "numpy.ndarray") -> float:
    """Return the area under the ROC curve of a ranking, by the U statistic.

    A positive image wins against every lower score and half of the equal ones (Mann and Whitney,
    1947). The wins of positives against each other are half of their pairs, and are subtracted.

    Args:
        scores: of all images, sorted.
        positive: of the images of the class, sorted; not empty, and fewer than `scores`.
    """
    import numpy

    wins = (
        numpy.searchsorted(scores, positive, "left").sum()
        + numpy.searchsorted(scores, positive, "right").sum()
    ) / 2
    positives, negatives = len(positive), len(scores) - len(positive)
    return float(wins - positives**2 / 2) / (positives * negatives)
