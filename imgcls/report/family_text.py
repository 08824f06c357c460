"""The results of a family as text, for the terminal and report.txt. Light zone."""

from collections.abc import Mapping
from typing import Any

from imgcls.evaluation.families import FamilyEvaluation, FamilySummary
from imgcls.evaluation.spread import Spread, make_spread_rows
from imgcls.family import By
from imgcls.report.tables import format_cell, format_table


def describe_spread(spreads: Mapping[str, Spread]) -> str:
    """Return mean and std of the first of some metrics, for a title."""
    name, spread = next(iter(spreads.items()))
    mean, std = format_cell(spread.mean), format_cell(spread.std)
    return f"{name} {mean} ± {std} (mean ± std)"


def format_summary(summary: FamilySummary) -> str:
    """Format the result of training a family as text: the spread, then the runs."""
    rows = [
        {
            summary.by: each.number,
            "epochs": each.epochs,
            "selected_epoch": each.selected_epoch,
            "val_loss": each.val_loss,
            "val_accuracy": each.val_accuracy,
            "seconds": each.seconds,
        }
        for each in summary.runs
    ]
    title = f"{summary.family}: {_count_runs(summary.by, len(rows))}"
    validation = [
        f"{title}; validation, selected epochs\n"
        + describe_interval(summary.confidence, len(rows)),
        format_table(make_spread_rows(summary.spreads)),
    ]
    validated = any(spread.count for spread in summary.spreads.values())
    sections = [
        *(validation if validated else [f"{title}; the validation split has no images"]),
        format_table(rows),
        format_evaluation(summary.out_of_fold)
        if summary.out_of_fold
        else f"next: imgcls eval {summary.family}",
    ]
    return "\n\n".join(sections).rstrip() + "\n"


def format_evaluation(found: FamilyEvaluation) -> str:
    """Format the evaluation of a family as text: the spread, the runs, and the pooled metrics."""
    count = len(found.runs)
    images = f"{' + '.join(f'{each:,}' for each in found.examples)} images"
    if len(set(found.examples)) == 1:
        images = f"{found.examples[0]:,} images each"
    sections = [
        f"{found.family}: {found.split} split, {_count_runs(found.by, count)}, {images}\n"
        + describe_interval(found.confidence, count),
        format_table(make_spread_rows(found.spreads)),
        *[
            f"{describe_tta(name)}\n\n{format_table(make_spread_rows(spreads))}"
            for name, spreads in found.tta.items()
        ],
        format_table(make_run_rows(found)),
    ]
    if found.pooled:
        intervals = found.pooled.describe_intervals()
        title = f"out-of-fold predictions of all {found.pooled.examples:,} images, pooled"
        sections += [
            "\n".join(filter(None, [title, intervals])),
            format_table(found.pooled.make_metric_rows()),
            found.pooled.describe_tta() or "",
            format_table(found.pooled.make_tta_rows()),
        ]
    return "\n\n".join(filter(None, sections)) + "\n"


def describe_tta(method: str) -> str:
    """Return the title of a table of numbers with test-time augmentation."""
    return f"with test-time augmentation: {method}"


def make_run_rows(found: FamilyEvaluation) -> list[dict[str, Any]]:
    """Return a table with a row for each metric, and a column for each run."""
    columns = [run.rpartition("/")[2] for run in found.runs]
    return [
        {"metric": name, **dict(zip(columns, spread.values, strict=True))}
        for name, spread in found.spreads.items()
    ]


def _count_runs(by: By, count: int) -> str:
    return f"{count} runs by {by}" if count > 1 else f"1 run by {by}"


def describe_interval(confidence: float, count: int) -> str:
    """Return what the intervals of a number of runs are, in a sentence."""
    if count < 2:
        return "one run has no spread: train at least two for an interval of the mean"
    return f"{100 * confidence:g} % confidence intervals of the mean over the runs, by Student's t"
