"""Bins of confidence, and the calibration errors that are computed from them. Light zone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgcls.metrics import Number

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class Bins:
    """The images of a split in bins of confidence.

    Attributes:
        count: images, int64 (bins,).
        correct: correctly classified images, int64 (bins,).
        confidence: mean confidence, float64 (bins,), NaN if empty.
        accuracy: float64 (bins,), NaN if empty.
    """

    count: "numpy.ndarray"
    correct: "numpy.ndarray"
    confidence: "numpy.ndarray"
    accuracy: "numpy.ndarray"


def make_equal_width_edges(bins: int) -> "numpy.ndarray":
    """Return the edges between bins of equal width from 0 to 1, float64 (bins - 1,)."""
    import numpy

    return numpy.linspace(0, 1, bins + 1)[1:-1]


def make_equal_mass_edges(confidence: "numpy.ndarray", bins: int) -> "numpy.ndarray":
    """Return the edges between bins with equal numbers of images, as far as equal values allow.

    Images of the same confidence are in the same bin, so there may be fewer bins.

    Returns:
        float64 (at most bins - 1,), ascending.
    """
    import numpy

    ends = -(-len(confidence) * numpy.arange(1, bins) // bins)
    return numpy.unique(numpy.sort(confidence)[ends - 1])


def fill_bins(
    edges: "numpy.ndarray", confidence: "numpy.ndarray", correct: "numpy.ndarray"
) -> Bins:
    """Sort images into bins, which include their upper edges.

    Args:
        edges: between bins, ascending, float64 (bins - 1,).
        confidence: float64 (images,).
        correct: whether each image is classified correctly, bool (images,).
    """
    import numpy

    bins, size = numpy.searchsorted(edges, confidence, "left"), len(edges) + 1
    count, hits = (
        numpy.bincount(bins, minlength=size),
        numpy.bincount(bins[correct], minlength=size),
    )
    with numpy.errstate(invalid="ignore"):
        return Bins(count, hits, numpy.bincount(bins, confidence, size) / count, hits / count)


def compute_expected_error(bins: Bins) -> float:
    """Return the mean gap between confidence and accuracy, weighted by the images of each bin."""
    filled = bins.count > 0
    gaps = abs(bins.accuracy - bins.confidence)[filled]
    return float(gaps @ bins.count[filled] / bins.count.sum())


def compute_maximum_error(bins: Bins) -> float:
    """Return the largest gap between confidence and accuracy of a bin that is not empty."""
    return float(abs(bins.accuracy - bins.confidence)[bins.count > 0].max())


def compute_debiased_error(bins: Bins) -> Number:
    """Return the root mean squared gap, debiased; None if no bin has two images.

    From the squared gap of each bin, the variance of its accuracy is subtracted, which it contains
    even if the model is perfectly calibrated. If the mean is then negative, the error is 0. The
    variance of a single image cannot be estimated; such a bin counts as calibrated.
    """
    several = bins.count > 1
    if not several.any():
        return None
    count, accuracy = bins.count[several], bins.accuracy[several]
    squared_gaps = (accuracy - bins.confidence[several]) ** 2
    variances = accuracy * (1 - accuracy) / (count - 1)
    return float(max((squared_gaps - variances) @ count / bins.count.sum(), 0.0) ** 0.5)
