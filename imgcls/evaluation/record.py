"""The record in metrics.json: all results of an evaluation. Light zone."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from imgcls.config import Tta
from imgcls.datasets import SplitName
from imgcls.evaluation.intervals import Interval
from imgcls.io.records import Record
from imgcls.metrics import Number


class TtaEvaluation(Record):
    """The metrics of predictions with test-time augmentation."""

    views: Annotated[int, Field(ge=2)]
    """The number of views of each image whose probabilities are averaged."""
    metrics: dict[str, Number]
    """Scalars as without test-time augmentation, except those with thresholds from validation."""
    intervals: dict[str, Interval | None]
    """Bootstrap confidence intervals as those without test-time augmentation."""
    wilson_intervals: dict[str, Interval | None]
    """Wilson's confidence intervals as those without test-time augmentation."""


class Evaluation(Record):
    """The metrics of a run on a split."""

    split: SplitName
    """The split: train, validation or test."""
    examples: Annotated[int, Field(ge=1)]
    """Images in the split."""
    classes: Annotated[list[str], Field(min_length=1)]
    """Class names in label order."""
    classes_absent: list[str]
    """Classes without an image in the split."""
    model: str
    """The SHA-256 of the model.keras that made the predictions; or, of an exported artifact, its
    `artifact_sha256` in metadata.json."""
    metrics: dict[str, Number]
    """Scalars, by the names that `--fail-under` takes; null if undefined."""
    intervals: dict[str, Interval | None]
    """Confidence intervals, [low, high], of some of the scalars, from bootstrap samples; null if
    undefined."""
    wilson_intervals: dict[str, Interval | None]
    """Wilson's confidence intervals, [low, high], of the scalars that are fractions of images; null
    if undefined."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """The confidence level of the intervals, 0..1."""
    bootstrap_samples: Annotated[int, Field(ge=1)]
    """The number of bootstrap samples for the intervals."""
    per_class: dict[str, list[Number]]
    """Values of each class in label order, by name; null if undefined."""
    tables: dict[str, list[dict[str, str | Number]]]
    """Tables by name, as lists of rows, such as the bins of the calibration."""
    matrices: dict[str, list[list[int]]]
    """Counts for each true class (row) and predicted class (column), by name."""
    tta: dict[Tta, TtaEvaluation]
    """The evaluation with test-time augmentation, by method; gates do not use it."""

    @model_validator(mode="after")
    def _require_consistency(self) -> Self:
        by_class: dict[str, Sequence[object]] = {**self.per_class, **self.matrices}
        for name, numbers in by_class.items():
            if len(numbers) != len(self.classes):
                raise ValueError(
                    f"{name} has {len(numbers)} classes, but there are {len(self.classes)}"
                )
        for key in ("intervals", "wilson_intervals"):
            if unknown := [name for name in getattr(self, key) if name not in self.metrics]:
                raise ValueError(f"{key}.{unknown[0]} does not belong to a metric")
        return self

    def describe_intervals(self) -> str | None:
        """Return what the confidence intervals are, in a phrase; None if there are none."""
        sources = []
        if self.intervals:
            sources.append(f"bootstrap of {self.bootstrap_samples:,} samples")
        if self.wilson_intervals:
            sources.append("Wilson for fractions")
        if not sources:
            return None
        return f"{100 * self.confidence:g} % confidence intervals: {'; '.join(sources)}"

    def make_metric_rows(self) -> list[dict[str, Any]]:
        """Return a table of the scalars, by the names that `--fail-under` takes."""
        return [
            {
                "metric": name,
                "value": value,
                "bootstrap_interval": self.intervals.get(name),
                "wilson_interval": self.wilson_intervals.get(name),
            }
            for name, value in self.metrics.items()
        ]

    def describe_tta(self) -> str | None:
        """Return what the methods of test-time augmentation are, in a phrase; None without one."""
        methods = [f"{name} ({found.views} views)" for name, found in self.tta.items()]
        return f"with test-time augmentation: {', '.join(methods)}" if methods else None

    def make_tta_rows(self) -> list[dict[str, Any]]:
        """Return a table of the scalars with test-time augmentation; empty without it."""
        names = list(next(iter(self.tta.values())).metrics) if self.tta else []
        return [self._make_tta_row(name) for name in names]

    def _make_tta_row(self, name: str) -> dict[str, Any]:
        row: dict[str, Any] = {"metric": name, "plain": self.metrics[name]}
        for method, found in self.tta.items():
            interval = found.intervals.get(name) or found.wilson_intervals.get(name)
            row |= {method: found.metrics[name], f"{method}_interval": interval}
        return row

    def make_class_rows(self) -> list[dict[str, Any]]:
        """Return a table of the classes; empty if no metric has a value per class."""
        columns = {"class": self.classes, **self.per_class}
        rows = zip(*columns.values(), strict=True) if self.per_class else []
        return [dict(zip(columns, row, strict=True)) for row in rows]
