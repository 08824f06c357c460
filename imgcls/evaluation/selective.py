"""Selective classification: images of low confidence are rejected, for a person to look at, so that
the accuracy of the accepted ones is higher (El-Yaniv and Wiener, 2010). Light zone.

An image is accepted if its confidence is at least the threshold, so images of the same confidence
are accepted together.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class RiskCoverage:
    """What each threshold accepts, from the highest confidence of an image to the lowest.

    Attributes:
        thresholds: the different confidences, descending, float64 (thresholds,).
        accepted: accepted images, int64 (thresholds,); the last one is the number of all images.
        correct: correctly classified images among them, int64 (thresholds,).
    """

    thresholds: "numpy.ndarray"
    accepted: "numpy.ndarray"
    correct: "numpy.ndarray"

    @property
    def coverage(self) -> "numpy.ndarray":
        """The fraction of images accepted, float64 (thresholds,), ascending."""
        return self.accepted / self.accepted[-1]

    @property
    def precision(self) -> "numpy.ndarray":
        """The accuracy of the accepted images, float64 (thresholds,)."""
        return self.correct / self.accepted

    @property
    def risk(self) -> "numpy.ndarray":
        """The fraction of misclassified images among the accepted ones, float64 (thresholds,)."""
        return (self.accepted - self.correct) / self.accepted


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what it reaches on the images on which it was chosen.

    Attributes:
        confidence: the lowest one that is accepted, 0..1.
        precision: the accuracy of the accepted images, 0..1.
        coverage: the fraction of images accepted, above 0.
    """

    confidence: float
    precision: float
    coverage: float


def compute_risk_coverage(confidence: "numpy.ndarray", correct: "numpy.ndarray") -> RiskCoverage:
    """Compute what each threshold accepts.

    Args:
        confidence: float64 (images,), at least one.
        correct: whether each image is classified correctly, bool (images,).
    """
    import numpy

    values, groups = numpy.unique(confidence, return_inverse=True)
    images = numpy.bincount(groups)[::-1].cumsum()
    hits = numpy.bincount(groups[correct], minlength=len(values))[::-1].cumsum()
    return RiskCoverage(values[::-1], images, hits)


def compute_area(curve: RiskCoverage) -> float:
    """Return the area under the risk-coverage curve (AURC).

    It is the mean risk over thresholds at the confidence of each image (Geifman et al., 2019).
    """
    import numpy

    groups = numpy.diff(curve.accepted, prepend=0)
    return float(curve.risk @ groups / curve.accepted[-1])


def choose_threshold(curve: RiskCoverage, precision: float) -> Threshold | None:
    """Return the lowest threshold that reaches a precision; None if none does."""
    import numpy

    reached = numpy.flatnonzero(curve.precision >= precision)
    if not reached.size:
        return None
    i = reached[-1]
    return Threshold(
        float(curve.thresholds[i]), float(curve.precision[i]), float(curve.coverage[i])
    )
