"""Classwise calibration error: the mean over classes of each one's calibration error. Light zone.

The error of a class is the gap between its predicted probability and its frequency, in bins
(low, high] of equal width of that probability, averaged with the number of images in each bin as
weight (Kull et al., 2019, section 2). Unlike there, classes without images in the split do not
count. Range 0 to 1, lower is better; with many classes it is small, since most probabilities are.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from imgcls.evaluation.chunks import divide_rows
from imgcls.metrics import (
    Direction,
    MetricSettings,
    Result,
    _calibration_bins,
    compute_macro_average,
)

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The classwise calibration error's settings."""

    compared_before_temperature: ClassVar[bool] = True

    bins: Annotated[int, Field(ge=1, le=100_000)] = 15
    """Bins of equal width between 0 and 1."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The classwise calibration error."""
        return {"classwise_calibration_error": "lower"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the classwise calibration error."""
    import numpy

    labels, classes = predictions.labels, len(predictions.classes)
    edges = _calibration_bins.make_equal_width_edges(settings.bins)
    true = numpy.take_along_axis(predictions.probabilities, labels[:, None], axis=1)[:, 0]
    cells = labels.astype(numpy.int64) * settings.bins + numpy.searchsorted(edges, true)
    images = numpy.bincount(cells, minlength=classes * settings.bins)
    gaps = numpy.abs(images - _add_probabilities(predictions.probabilities, edges).ravel())
    errors = gaps.reshape(classes, settings.bins).sum(axis=1) / len(labels)
    present = numpy.bincount(labels, minlength=classes) > 0
    return Result({"classwise_calibration_error": compute_macro_average(errors, present)})


def _add_probabilities(probabilities: "numpy.ndarray", edges: "numpy.ndarray") -> "numpy.ndarray":
    """Add up the probabilities in each bin of each class, float64 (classes, bins).

    Nearly all probabilities are in the lowest bin, so only the others are sorted into bins.
    """
    import numpy

    classes, bins = probabilities.shape[1], len(edges) + 1
    sums = numpy.zeros(classes * bins)
    for rows in divide_rows(probabilities):
        chunk = probabilities[rows]
        above = chunk > edges[0] if bins > 1 else numpy.zeros_like(chunk, bool)
        sums[::bins] += numpy.where(above, 0, chunk).sum(axis=0, dtype=numpy.float64)
        values = chunk[above].astype(numpy.float64)
        cells = above.nonzero()[1] * bins + numpy.searchsorted(edges, values)
        sums += numpy.bincount(cells, values, classes * bins)
    return sums.reshape(classes, bins)
