"""The metrics of the candidates of a comparison. Light zone."""

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from imgcls import metrics, parts
from imgcls.comparison import run_intervals
from imgcls.comparison.candidate import PredictedCandidate
from imgcls.config import Evaluate
from imgcls.evaluation.intervals import Interval
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
class MeasuredCandidate:
    """A candidate with its scalars by name; None where undefined.

    Attributes:
        overall: on all images; of a family by seed, the mean over its runs.
        by_run: of each run, on the images that it was evaluated on.
    """

    predicted: PredictedCandidate
    overall: dict[str, Number]
    by_run: list[dict[str, Number]]


def measure_candidate(predicted: PredictedCandidate, plan: MetricPlan) -> MeasuredCandidate:
    """Compute the scalars of a candidate."""
    by_run = [_compute_scalars(plan, each) for each in predicted.predictions]
    if predicted.candidate.by == "fold":
        overall = _compute_scalars(plan, predicted.replicates[0])
    else:
        overall = {name: _compute_mean([row[name] for row in by_run]) for name in by_run[0]}
    return MeasuredCandidate(predicted, overall, by_run)


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
    name: str, old: MeasuredCandidate, new: MeasuredCandidate, confidence: float
) -> Interval | None:
    """Return the interval of the difference in a scalar over the seeds or folds of two families.

    Returns:
        None if the scalar is undefined for a run, or a family has one run or no spread.
    """
    columns = [[row[name] for row in each.by_run] for each in (old, new)]
    before, after = ([value for value in column if value is not None] for column in columns)
    if len(before) + len(after) < sum(map(len, columns)):
        return None
    if old.predicted.candidate.by != "fold":
        return run_intervals.compute_welch_interval(before, after, confidence)
    differences = [b - a for a, b in zip(before, after, strict=True)]
    sizes = [run.data.sizes for run in new.predicted.candidate.runs]
    test_to_train = sum(each["test"] for each in sizes) / sum(each["train"] for each in sizes)
    return run_intervals.compute_fold_interval(differences, test_to_train, confidence)
