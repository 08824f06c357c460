"""Top-k accuracy: the share of images whose true class is among the k most probable (Russakovsky et
al., 2015, section 4.1).

The lowest class number wins among equals, so that top-1 is the accuracy. Range 0 to 1; undefined
where there are no more than k classes, since it would be 1 whatever the model says. Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.metrics import Direction, MetricSettings, Result

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """Top-k accuracy's settings."""

    k: Annotated[int, Field(ge=1)] = 5
    """How many guesses count; the number is called top_<k>_accuracy."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The one number."""
        return {f"top_{self.k}_accuracy": "higher"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Return the top-k accuracy."""
    (name,) = settings.scalars
    if len(predictions.classes) <= settings.k:
        return Result({name: None})
    return Result({name: float((predictions.per_image(compute_rank_of_truth) < settings.k).mean())})


def compute_rank_of_truth(predictions: "Predictions") -> "numpy.ndarray":
    """Return for each image how many classes come before the true one: int64 (images,), 0 where it
    is the most probable.
    """
    import numpy

    probabilities, labels = predictions.probabilities, predictions.labels
    truth = numpy.take_along_axis(probabilities, labels[:, None], axis=1)
    before = numpy.count_nonzero(probabilities > truth, axis=1)
    rows, columns = numpy.nonzero(probabilities == truth)
    earlier_equals = rows[columns < labels[rows]]
    return before + numpy.bincount(earlier_equals, minlength=len(labels))
