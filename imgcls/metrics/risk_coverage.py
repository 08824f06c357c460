"""Selective classification: the area under the risk-coverage curve, and a confidence threshold.
Light zone.

Images of low confidence are rejected. The risk is the fraction of misclassified images among the
accepted ones, the coverage the fraction of images accepted. The area under the curve (AURC) is the
mean risk over thresholds at the confidence of each image (Geifman and El-Yaniv, 2017; Geifman et
al., 2019); range 0 to 1, lower is better.

The threshold for a wanted precision, which is the accuracy of the accepted images, is the lowest
one that reaches it on the validation split; precision and coverage are then measured on the
evaluated split. Since the threshold is chosen for these images, the precision on others tends to be
slightly lower. Undefined on the validation split itself, and if no threshold reaches the precision.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from imgcls.evaluation import selective
from imgcls.metrics import Direction, MetricSettings, Number, Result
from imgcls.metrics.accuracy import is_correct
from imgcls.metrics.calibration import compute_confidence

if TYPE_CHECKING:
    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The settings of selective classification."""

    needs_validation: ClassVar[bool] = True

    precision: Annotated[float, Field(gt=0, le=1)] = 0.99
    """The wanted accuracy of the accepted images."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The area, and precision and coverage at the threshold."""
        return {"aurc": "lower", "selective_precision": "higher", "selective_coverage": "higher"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the area, choose the threshold, and measure its precision and coverage."""
    area = selective.compute_area(compute_curve(predictions))
    validation = predictions.validation
    if validation is None:
        return _make_result(area, (0, 0), (0, 0), [])
    threshold = selective.choose_threshold(compute_curve(validation), settings.precision)
    row: dict[str, str | Number] = {
        "wanted_precision": settings.precision,
        "validation_images": len(validation.labels),
        "threshold": threshold.confidence if threshold else None,
        "validation_precision": threshold.precision if threshold else None,
        "validation_coverage": threshold.coverage if threshold else None,
    }
    if threshold is None:
        return _make_result(area, (0, 0), (0, 0), [row])
    accepted = predictions.per_image(compute_confidence) >= threshold.confidence
    count = int(accepted.sum())
    correct = int((accepted & predictions.per_image(is_correct)).sum())
    return _make_result(area, (correct, count), (count, len(accepted)), [row])


def compute_curve(predictions: "Predictions") -> selective.RiskCoverage:
    """Compute the risk-coverage curve."""
    return selective.compute_risk_coverage(
        predictions.per_image(compute_confidence), predictions.per_image(is_correct)
    )


def _make_result(
    area: float,
    precision: tuple[int, int],
    coverage: tuple[int, int],
    rows: list[dict[str, str | Number]],
) -> Result:
    fractions = {"selective_precision": precision, "selective_coverage": coverage}
    values = {
        name: numerator / denominator if denominator else None
        for name, (numerator, denominator) in fractions.items()
    }
    return Result(
        {"aurc": area, **values}, tables={"selective_classification": rows}, fractions=fractions
    )
