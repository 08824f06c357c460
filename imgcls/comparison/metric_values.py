"""The metrics of the candidates of a comparison. Light zone."""

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from imgcls import metrics, parts
from imgcls.comparison import spread
from imgcls.comparison.candidate import PredictedCandidate
from imgcls.comparison.paired_bootstrap import Interval
from imgcls.config import Evaluate
from imgcls.evaluation.predictions import Predictions
from imgcls.metrics import Direction, MetricSettings, Number


@dataclass(frozen=True)
class MetricPlan:
    """The metrics of a comparison.

    Attributes:
        computed: those with scalars; accuracy is the first.
        resampled: those whose differences get a bootstrap interval.
    """

    computed: list[MetricSettings]
    resampled: list[MetricSettings]

    @property
    def directions(self) -> dict[str, Direction]:
        """The scalars, each with its better direction."""
        return metrics.list_directions(self.computed)


def plan_metrics(settings: Evaluate, gated: Collection[str]) -> MetricPlan:
    """Return what is computed: the metrics of an experiment, and accuracy in any case.

    Args:
        settings: its `intervals` are the metrics that get an interval.
        gated: scalars that get one too.
    """
    own = {each.name: each for each in settings.metrics if each.scalars}
    accuracy = own.pop("accuracy", None) or parts.make_default_settings("metrics", "accuracy")
    computed = [accuracy, *own.values()]
    names = {"accuracy", *settings.intervals}
    return MetricPlan(
        computed,
        [each for each in computed if each.name in names or each.scalars.keys() & set(gated)],
    )


@dataclass(frozen=True)
class MetricValues:
    """The scalars of a candidate, by name; None where undefined.

    Attributes:
        overall: on all images; of a family by seed, the mean over its runs.
        by_run: of each run, on the images that it was evaluated on.
    """

    overall: dict[str, Number]
    by_run: list[dict[str, Number]]


def compute_values(predicted: PredictedCandidate, plan: MetricPlan) -> MetricValues:
    """Return the scalars of a candidate."""
    by_run = [_compute_scalars(plan, each) for each in predicted.predictions]
    if predicted.candidate.by == "fold":
        return MetricValues(_compute_scalars(plan, predicted.replicates[0]), by_run)
    return MetricValues(
        {name: _compute_mean([row[name] for row in by_run]) for name in by_run[0]}, by_run
    )


def _compute_scalars(plan: MetricPlan, found: Predictions) -> dict[str, Number]:
    return {
        name: value
        for settings in plan.computed
        for name, value in parts.load_for("metrics", settings)
        .compute(settings, found)
        .scalars.items()
    }


def _compute_mean(values: Sequence[Number]) -> Number:
    defined = [value for value in values if value is not None]
    return statistics.fmean(defined) if len(defined) == len(values) else None


def compute_interval_over_runs(
    name: str,
    old: tuple[PredictedCandidate, MetricValues],
    new: tuple[PredictedCandidate, MetricValues],
    confidence: float,
) -> Interval | None:
    """Return the interval of the difference in a scalar over the seeds or folds of two families.

    Returns:
        None if the scalar is undefined for a run, or a family has one run or no spread.
    """
    columns = [[row[name] for row in values.by_run] for _, values in (old, new)]
    before, after = ([value for value in column if value is not None] for column in columns)
    if len(before) + len(after) < sum(map(len, columns)):
        return None
    if old[0].candidate.by != "fold":
        return spread.compute_welch_interval(before, after, confidence)
    differences = [b - a for a, b in zip(before, after, strict=True)]
    sizes = [run.data.sizes for run in new[0].candidate.runs]
    test_to_train = sum(each["test"] for each in sizes) / sum(each["train"] for each in sizes)
    return spread.compute_fold_interval(differences, test_to_train, confidence)
