"""Calibration error: the gap between confidence and accuracy, in bins of confidence. Light zone.

Confidence is the probability of the predicted class. The bins (low, high] have equal widths. The
expected calibration error is the mean gap, weighted by the number of images in each bin; the
maximum calibration error is the largest gap of a bin that is not empty (Guo et al., 2017, section
2). Range 0 to 1, lower is better.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.metrics import Direction, MetricSettings, Number, Result, to_numbers
from imgcls.metrics.accuracy import is_correct

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The calibration error's settings."""

    bins: Annotated[int, Field(ge=1)] = 15
    """Bins of equal width between 0 and 1."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The expected and the maximum calibration error."""
        return {"expected_calibration_error": "lower", "maximum_calibration_error": "lower"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute both errors, and each bin's count, mean confidence and accuracy."""
    import numpy

    edges = numpy.linspace(0, 1, settings.bins + 1)
    confidence = predictions.per_image(compute_confidence)
    correct = predictions.per_image(is_correct)
    bins = numpy.searchsorted(edges[1:-1], confidence, "left")
    count = numpy.bincount(bins, minlength=settings.bins)
    with numpy.errstate(invalid="ignore"):
        mean_confidence = numpy.bincount(bins, confidence, settings.bins) / count
        accuracy = numpy.bincount(bins, correct, settings.bins) / count
    gaps = numpy.abs(accuracy - mean_confidence)[count > 0]
    expected = float(gaps @ count[count > 0] / len(confidence))
    columns: dict[str, list[Number]] = {
        "above": edges[:-1].tolist(),
        "up_to": edges[1:].tolist(),
        "count": count.tolist(),
        "confidence": to_numbers(mean_confidence),
        "accuracy": to_numbers(accuracy),
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    errors: dict[str, Number] = {
        "expected_calibration_error": expected,
        "maximum_calibration_error": float(gaps.max()),
    }
    return Result(errors, tables={"calibration": rows})


def compute_confidence(predictions: "Predictions") -> "numpy.ndarray":
    """Return the probability of each image's predicted class, float64 (images,)."""
    import numpy

    return predictions.probabilities.max(axis=1).astype(numpy.float64)
