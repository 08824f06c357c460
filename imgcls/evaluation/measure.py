"""Computes all metrics of predictions, with their confidence intervals. Light zone."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from imgcls import parts
from imgcls.evaluation import bootstrap, failures
from imgcls.evaluation.groups import Groups, measure_groups
from imgcls.evaluation.intervals import compute_wilson_interval
from imgcls.evaluation.predictions import Predictions, undo_temperature
from imgcls.evaluation.record import TtaEvaluation
from imgcls.evaluation.tta import METHODS
from imgcls.metrics import MetricSettings, Number, Result

if TYPE_CHECKING:
    from imgcls.config import Evaluate, Tta


def measure(
    settings: "Evaluate", predictions: Predictions, seed: int, groups: Groups | None = None
) -> dict[str, Any]:
    """Compute all metrics, and the confidence intervals that `intervals` asks for.

    Args:
        seed: of the bootstrap samples.
        groups: of the images; None for none.

    Returns:
        The fields of `Evaluation` that depend on metrics, by name.
    """
    results = _compute(settings.metrics, predictions)
    scalars = _merge(result.scalars for result in results)
    fractions = _merge(result.fractions for result in results)
    with_intervals = [each for each in settings.metrics if each.name in settings.intervals]
    return {
        "metrics": scalars,
        "intervals": bootstrap.bootstrap_intervals(
            predictions, with_intervals, settings.bootstrap_samples, settings.confidence, seed
        ),
        "wilson_intervals": {
            name: compute_wilson_interval(numerator, denominator, settings.confidence)
            if denominator
            else None
            for name, (numerator, denominator) in fractions.items()
        },
        "confidence": settings.confidence,
        "bootstrap_samples": settings.bootstrap_samples,
        "per_class": _merge(result.per_class for result in results),
        "tables": {
            "temperature_scaling": _compare_before_temperature(settings, predictions, scalars),
            **_merge(result.tables for result in results),
            "worst_classes": failures.list_worst_classes(predictions, settings.confidence),
            "hardest_images": failures.list_hardest_images(predictions),
            **measure_groups(groups, predictions, settings.confidence),
        },
        "matrices": _merge(result.matrices for result in results),
    }


def measure_tta(
    settings: "Evaluate", method: "Tta", predictions: Predictions, seed: int
) -> TtaEvaluation:
    """Compute the scalars of predictions with test-time augmentation, and their intervals.

    Metrics with thresholds from validation are left out: those were chosen without it.

    Args:
        seed: of the bootstrap samples, which are those of the plain predictions.
    """
    metrics = [each for each in settings.metrics if not each.needs_validation]
    measured = measure(settings.model_copy(update={"metrics": metrics}), predictions, seed)
    names = ("metrics", "intervals", "wilson_intervals")
    return TtaEvaluation(views=len(METHODS[method]), **{name: measured[name] for name in names})


def _compute(metrics: Iterable[MetricSettings], predictions: Predictions) -> list[Result]:
    return [parts.load_for("metrics", each).compute(each, predictions) for each in metrics]


def _merge(mappings: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for mapping in mappings for name, value in mapping.items()}


def _compare_before_temperature(
    settings: "Evaluate", predictions: Predictions, scalars: dict[str, Number]
) -> list[dict[str, str | Number]]:
    """Return a table of the scalars that measure probabilities, before and after the temperature.

    It is empty if there are none, or if the model does not apply a temperature.
    """
    metrics = [each for each in settings.metrics if each.compared_before_temperature]
    before = undo_temperature(predictions) if metrics else None
    if before is None:
        return []
    rows: list[dict[str, str | Number]] = [
        {"metric": "temperature", "before": 1.0, "after": predictions.temperature}
    ]
    for name, value in _merge(each.scalars for each in _compute(metrics, before)).items():
        rows.append({"metric": name, "before": value, "after": scalars[name]})
    return rows
