"""Calibration errors: the gap between confidence and accuracy, in bins of confidence. Light zone.

Confidence is the probability of the predicted class. Range 0 to 1, lower is better.

- The expected calibration error is the mean gap, weighted by the number of images in each bin; the
  maximum calibration error is the largest gap of a bin that is not empty. Their bins (low, high]
  have equal widths (Guo et al., 2017, section 2).
- The equal-mass calibration error is the mean gap of bins with equal numbers of images (Nguyen and
  O'Connor, 2015; adaptive bins in Nixon et al., 2019).
- The debiased L2 calibration error is the root mean squared gap of these bins, without the part
  that chance alone causes (Kumar et al., 2019, section 5; Bröcker, 2012; Ferro and Fricker, 2012).
  The other errors are above 0 even for perfectly calibrated models, the more so the fewer images
  a bin has.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from imgcls.metrics import Direction, MetricSettings, Number, Result, _calibration_bins, to_numbers
from imgcls.metrics.accuracy import is_correct

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The calibration errors' settings."""

    compared_before_temperature: ClassVar[bool] = True

    bins: Annotated[int, Field(ge=1, le=100_000)] = 15
    """Bins between 0 and 1, of equal width or with equal numbers of images."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The calibration errors."""
        return {
            "expected_calibration_error": "lower",
            "equal_mass_calibration_error": "lower",
            "debiased_l2_calibration_error": "lower",
            "maximum_calibration_error": "lower",
        }


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the errors, and count, mean confidence and accuracy of each bin of equal width."""
    import numpy

    confidence = predictions.per_image(compute_confidence)
    correct = predictions.per_image(is_correct)
    edges = _calibration_bins.make_equal_width_edges(settings.bins)
    equal_width = _calibration_bins.fill_bins(edges, confidence, correct)
    equal_mass = _calibration_bins.fill_bins(
        _calibration_bins.make_equal_mass_edges(confidence, settings.bins), confidence, correct
    )
    columns: dict[str, list[Number]] = {
        "above": numpy.append(0.0, edges).tolist(),
        "up_to": numpy.append(edges, 1.0).tolist(),
        "count": equal_width.count.tolist(),
        "confidence": to_numbers(equal_width.confidence),
        "accuracy": to_numbers(equal_width.accuracy),
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    errors: dict[str, Number] = {
        "expected_calibration_error": _calibration_bins.compute_expected_error(equal_width),
        "equal_mass_calibration_error": _calibration_bins.compute_expected_error(equal_mass),
        "debiased_l2_calibration_error": _calibration_bins.compute_debiased_error(equal_mass),
        "maximum_calibration_error": _calibration_bins.compute_maximum_error(equal_width),
    }
    return Result(errors, tables={"calibration": rows})


def compute_confidence(predictions: "Predictions") -> "numpy.ndarray":
    """Return the probability of each image's predicted class, float64 (images,)."""
    import numpy

    return predictions.probabilities.max(axis=1).astype(numpy.float64)
