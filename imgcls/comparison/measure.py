"""Computes a comparison from predictions. Light zone."""

from collections.abc import Sequence

from imgcls.comparison import class_changes, mcnemar, provenance, sentences
from imgcls.comparison.candidate import PredictedCandidate
from imgcls.comparison.conclusion import conclude
from imgcls.comparison.metric_values import (
    MeasuredCandidate,
    MetricPlan,
    compute_interval_over_runs,
    measure_candidate,
)
from imgcls.comparison.paired_bootstrap import bootstrap_differences
from imgcls.comparison.record import (
    Agreement,
    ComparedCandidate,
    Comparison,
    MetricDifference,
    PairComparison,
)
from imgcls.datasets import SplitName
from imgcls.evaluation.intervals import Interval, compute_wilson_interval
from imgcls.evaluation.spread import compute_spreads
from imgcls.metrics.accuracy import is_correct
from imgcls.seeds import derive_seed


def measure(
    predicted: Sequence[PredictedCandidate], split: SplitName, plan: MetricPlan
) -> Comparison:
    """Compare candidates with the first one, whose settings of metrics are used for all.

    Args:
        predicted: all on the same images.
        split: that they were predicted on.
    """
    experiment = predicted[0].candidate.experiment
    settings, candidates = experiment.evaluate, [each.candidate for each in predicted]
    measured = [measure_candidate(each, plan) for each in predicted]
    intervals = bootstrap_differences(
        [each.replicates for each in predicted],
        plan.resampled,
        settings.bootstrap_samples,
        settings.confidence,
        derive_seed(experiment.seed, "bootstrap"),
    )
    pairs = [
        _compare_pair(measured[0], new, plan, found, settings.confidence)
        for new, found in zip(measured[1:], intervals, strict=True)
    ]
    return Comparison(
        split=split,
        examples=len(predicted[0].replicates[0].ids),
        confidence=settings.confidence,
        bootstrap_samples=settings.bootstrap_samples,
        candidates=[_describe(each, settings.confidence) for each in measured],
        comparisons=_adjust_p_values(pairs),
        settings=provenance.compare_settings(candidates),
        environment=provenance.compare_environments(candidates),
        data=provenance.compare_data(candidates),
        failed_gates=[],
    )


def _describe(measured: MeasuredCandidate, confidence: float) -> ComparedCandidate:
    predicted = measured.predicted
    interval = None
    if len(predicted.replicates) == 1:
        correct = predicted.replicates[0].per_image(is_correct)
        interval = compute_wilson_interval(int(correct.sum()), len(correct), confidence)
    return ComparedCandidate(
        folder=str(predicted.candidate.folder),
        by=predicted.candidate.by,
        runs=[str(run.folder) for run in predicted.candidate.runs],
        metrics=measured.overall,
        spreads=compute_spreads(measured.by_run, confidence) if predicted.candidate.by else {},
        accuracy_interval=interval,
        properties=provenance.describe_models(predicted),
    )


def _compare_pair(
    old: MeasuredCandidate,
    new: MeasuredCandidate,
    plan: MetricPlan,
    intervals: dict[str, Interval | None],
    confidence: float,
) -> PairComparison:
    before, after = old.predicted, new.predicted
    agreement = class_changes.count_agreement(before, after)
    accuracy, *others = _compare_metrics(old, new, plan, intervals, confidence)
    accuracy = _require_test(accuracy, agreement, confidence)
    return PairComparison(
        old=str(before.candidate.folder),
        new=str(after.candidate.folder),
        sentence=sentences.describe_conclusion(
            before.candidate, after.candidate, accuracy, agreement, confidence
        ),
        metrics=[accuracy, *others],
        agreement=agreement,
        classes=class_changes.compare_classes(before, after),
    )


def _compare_metrics(
    old: MeasuredCandidate,
    new: MeasuredCandidate,
    plan: MetricPlan,
    intervals: dict[str, Interval | None],
    confidence: float,
) -> list[MetricDifference]:
    identical = _are_identical(old.predicted, new.predicted)
    found = []
    for name, better in plan.directions.items():
        before, after = old.overall[name], new.overall[name]
        images = intervals.get(name)
        runs = compute_interval_over_runs(name, old, new, confidence)
        conclusion = conclude(better, images, runs) if name in intervals else None
        found.append(
            MetricDifference(
                metric=name,
                better=better,
                old=before,
                new=after,
                difference=None if before is None or after is None else after - before,
                interval=images,
                interval_over_runs=runs,
                conclusion="identical" if identical else conclusion,
            )
        )
    return found


def _require_test(
    accuracy: MetricDifference, agreement: Agreement | None, confidence: float
) -> MetricDifference:
    """Return the difference in accuracy; not shown if McNemar's test does not show it.

    If few images tell two models apart, the bootstrap excludes 0 too easily: with four that only
    one has right, and none that only the other has, its 95 % interval does, but p is 0.125.
    """
    if agreement is None or agreement.p_value <= 1 - confidence:
        return accuracy
    shown = accuracy.conclusion not in ("identical", "no_difference_shown")
    return accuracy.model_copy(update={"conclusion": "no_difference_shown"}) if shown else accuracy


def _are_identical(old: PredictedCandidate, new: PredictedCandidate) -> bool:
    """Return whether all runs of two candidates have the same probabilities, bit by bit."""
    import numpy

    return len(old.predictions) == len(new.predictions) and all(
        numpy.array_equal(one.probabilities, other.probabilities)
        for one, other in zip(old.predictions, new.predictions, strict=True)
    )


def _adjust_p_values(pairs: Sequence[PairComparison]) -> list[PairComparison]:
    """Adjust the p-values of all candidates for their number."""
    tested = [pair.agreement for pair in pairs if pair.agreement]
    adjusted = iter(mcnemar.adjust_p_values([each.p_value for each in tested]))
    return [
        pair.model_copy(
            update={
                "agreement": pair.agreement.model_copy(update={"adjusted_p_value": next(adjusted)})
            }
        )
        if pair.agreement
        else pair
        for pair in pairs
    ]
