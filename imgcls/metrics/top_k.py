"""Top-k accuracy: the fraction of images whose true class is among the k most probable. Light zone.

As in ImageNet (Russakovsky et al., 2015, section 4.1). On a tie, lower class numbers count as more
probable, so that top-1 accuracy equals accuracy. Range 0 to 1; undefined with k or fewer classes,
where it would always be 1.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.evaluation.ranks import rank_labels
from imgcls.metrics import Direction, MetricSettings, Result

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """Top-k accuracy's settings."""

    k: Annotated[int, Field(ge=1)] = 5
    """Number of classes considered; the metric is named top_<k>_accuracy."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The top-k accuracy."""
        return {f"top_{self.k}_accuracy": "higher"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the top-k accuracy."""
    (name,) = settings.scalars
    if len(predictions.classes) <= settings.k:
        return Result({name: None}, fractions={name: (0, 0)})
    found = predictions.per_image(compute_rank) < settings.k
    return Result({name: float(found.mean())}, fractions={name: (int(found.sum()), len(found))})


def compute_rank(predictions: "Predictions") -> "numpy.ndarray":
    """Return the rank of each image's true class: int64 (images,), 0 if it is the most probable."""
    return rank_labels(predictions.probabilities, predictions.labels)
