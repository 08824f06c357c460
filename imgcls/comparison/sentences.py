"""Says in words what may be concluded from a comparison. Light zone."""

from imgcls.comparison.candidate import Candidate
from imgcls.comparison.conclusion import find_side
from imgcls.comparison.record import Agreement, Comparison, MetricDifference, PairComparison
from imgcls.evaluation.intervals import Interval
from imgcls.io.terminal import to_printable
from imgcls.report.tables import format_cell


def describe_conclusion(
    old: Candidate,
    new: Candidate,
    accuracy: MetricDifference,
    agreement: Agreement | None,
    confidence: float,
) -> str:
    """Return a sentence on the difference in accuracy, and what it does and does not show."""
    level, images = f"{100 * confidence:g} %", accuracy.interval
    name = to_printable(str(new.folder))
    if accuracy.conclusion == "identical":
        return "No difference found: identical predictions."
    side = find_side(images)
    if not side:
        return (
            f"No difference in accuracy shown: its {level} confidence interval over images,"
            f" {format_cell(images)}, includes 0."
        )
    if accuracy.conclusion == "no_difference_shown" and agreement:
        return (
            f"No difference in accuracy shown: only {agreement.only_old + agreement.only_new:,}"
            " images tell the two apart, for which McNemar's exact test has p ="
            f" {format_cell(agreement.p_value)}."
        )
    word = "higher" if side > 0 else "lower"
    by = format_cell(abs(accuracy.difference or 0.0))
    mean = "mean accuracy" if new.by == "seed" else "accuracy"
    fact = (
        f"{name} has a {word} {mean} on these images, by {by} ({level} confidence interval"
        f" {format_cell(images)})"
    )
    runs = accuracy.interval_over_runs
    if accuracy.conclusion in ("better", "worse"):
        return (
            f"{name} is {accuracy.conclusion}: {fact.removeprefix(f'{name} has ')}, and the"
            f" difference is outside the spread of the {new.by}s ({format_cell(runs)})."
        )
    return f"{fact}. {_explain_doubt(old, new, runs, level)}"


def _explain_doubt(old: Candidate, new: Candidate, runs: Interval | None, level: str) -> str:
    """Return why a difference on these images does not show that a model is better."""
    if runs is not None:
        return (
            f"But the difference lies inside the spread of the {new.by}s: its {level} confidence"
            f" interval over {new.by}s, {format_cell(runs)}, includes 0."
        )
    if min(len(old.runs), len(new.runs)) > 1:
        return f"The {new.by}s show no spread to compare it with, so it may be due to chance."
    sides = "each side" if len(old.runs) == len(new.runs) == 1 else "one side"
    return (
        f"With one seed on {sides}, the difference may be due to the seed alone; to find out,"
        " train families (imgcls train --num-seeds 5) and compare them."
    )


def list_cautions(comparison: Comparison) -> list[str]:
    """Return sentences on how the numbers should be read."""
    cautions = []
    if comparison.split == "train":
        cautions.append("The models were trained on these images.")
    if comparison.split == "validation":
        cautions.append("The epochs were selected, and temperatures fitted, on these images.")
    if len(comparison.comparisons) > 1:
        cautions.append("The intervals are not adjusted for the number of comparisons.")
    return cautions


def describe_intervals(comparison: Comparison) -> str:
    """Return what the intervals over images are."""
    return (
        f"{100 * comparison.confidence:g} % confidence intervals of the difference, from"
        f" {comparison.bootstrap_samples:,} paired bootstrap samples of the images"
    )


def describe_spread(comparison: Comparison, pair: PairComparison) -> str:
    """Return what the table of the spread of families has."""
    text = "Mean and standard deviation over the runs of a family"
    if not any(each.interval_over_runs for each in pair.metrics):
        return text
    method = (
        "by Student's t, corrected since the folds share training images"
        if comparison.find(pair.new).by == "fold"
        else "by Welch's t"
    )
    level = f"{100 * comparison.confidence:g} %"
    return f"{text}, and {level} confidence intervals of the difference over runs, {method}"


def describe_agreement(found: Agreement) -> str:
    """Return the four counts of images, and the result of McNemar's test."""
    adjusted = (
        f" ({format_cell(found.adjusted_p_value)} by Holm's method for all comparisons)"
        if found.adjusted_p_value != found.p_value
        else ""
    )
    return (
        f"Images: {found.both_right:,} both right, {found.only_old:,} only old,"
        f" {found.only_new:,} only new, {found.both_wrong:,} both wrong. McNemar's exact test: p ="
        f" {format_cell(found.p_value)}{adjusted}."
    )


def describe_accuracies(comparison: Comparison, pair: PairComparison) -> str:
    """Return the accuracies of a pair with their own intervals; empty if neither has one."""
    found = {"old": comparison.find(pair.old), "new": comparison.find(pair.new)}
    texts = [
        f"{label} {format_cell(each.metrics['accuracy'])} {format_cell(each.accuracy_interval)}"
        for label, each in found.items()
        if each.accuracy_interval
    ]
    return f"Accuracy with Wilson's interval: {', '.join(texts)}." if texts else ""


def describe_classes(pair: PairComparison) -> str:
    """Return what the table of classes has."""
    has_tests = any(each.p_value is not None for each in pair.classes)
    return "Classes whose images became right (gained) or wrong (lost)" + (
        ", with p-values of McNemar's exact test, adjusted by Holm's method" if has_tests else ""
    )
