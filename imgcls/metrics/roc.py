"""Area under the ROC curve, one class against the rest: per class, macro and micro (Hanley and
McNeil, 1982; Fawcett, 2006). Light zone.

It is the chance that an image of the class gets a higher probability of it than an image of another
class; equals count half. Range 0 to 1, chance is 0.5. Undefined for a class that no image or every
image of the split has.
"""

from typing import TYPE_CHECKING

from imgcls.metrics import Direction, MetricSettings, Result
from imgcls.metrics._ranking import one_vs_rest

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The area has no settings."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The mean over classes, and the area of the pooled ranking."""
        return {"macro_roc_auc": "higher", "micro_roc_auc": "higher"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Return the areas."""
    return one_vs_rest(predictions, "roc_auc", compute_area)


def compute_area(scores: "numpy.ndarray", positive: "numpy.ndarray") -> float:
    """Return the area from the sorted scores of all and of the positive, both non-empty and not the
    same set.

    A positive beats the scores below it and half of those equal to it (Mann and Whitney, 1947);
    among the positive alone that comes to half of all pairs, which is taken off.
    """
    import numpy

    beaten = (
        numpy.searchsorted(scores, positive, "left").sum()
        + numpy.searchsorted(scores, positive, "right").sum()
    ) / 2
    count, rest = len(positive), len(scores) - len(positive)
    return float(beaten - count**2 / 2) / (count * rest)
