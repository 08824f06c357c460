"""The metrics under corruptions as text, for the terminal and corruptions.txt. Light zone."""

import textwrap
from pathlib import Path
from typing import Any

from imgcls.evaluation.robustness_record import CAVEAT, Robustness
from imgcls.io.terminal import to_printable
from imgcls.report.tables import WIDTH, format_cell, format_table

FIELDS = {
    "accuracy": "accuracy by severity",
    "expected_calibration_error": "expected calibration error by severity",
}
"""The numbers that are shown, each with the title of its table."""


def format_robustness(found: Robustness, folder: Path) -> str:
    """Return the metrics under corruptions as text: a summary, then a table for each number.

    Args:
        folder: of the run.
    """
    sections = [
        f"{to_printable(str(folder))}: {found.split} split, {describe_images(found)}, model"
        f" {found.model[:12]}",
        format_table(make_summary_rows(found)) + f"\n\n{textwrap.fill(CAVEAT, WIDTH)}",
        *[f"{title}\n\n{format_table(found.make_rows(field))}" for field, title in FIELDS.items()],
    ]
    return "\n\n".join(sections) + "\n"


def describe_images(found: Robustness) -> str:
    """Return how many images were corrupted, of how many."""
    if found.images == found.split_images:
        return f"{found.images:,} images"
    return f"{found.images:,} of {found.split_images:,} images, drawn at random"


def make_summary_rows(found: Robustness) -> list[dict[str, Any]]:
    """Return the numbers of clean images beside the means over the corruptions."""
    count = len(found.corrupted)
    means = {
        field: sum(getattr(each, field) for each in found.corrupted) / count
        for field in ("accuracy", "log_loss", "expected_calibration_error")
    }
    rows: list[dict[str, Any]] = [
        {"metric": field, "clean": getattr(found.clean, field), "mean_under_corruptions": mean}
        for field, mean in means.items()
    ]
    clean = 1 - found.clean.accuracy
    return [
        *rows,
        {"metric": "mean_error", "clean": clean, "mean_under_corruptions": found.mean_error},
    ]


def describe_finding(found: Robustness) -> str:
    """Return what the corruptions do, in a line: the mean accuracy, and the worst corruption."""
    rows = found.make_rows("accuracy")
    worst = min(rows, key=lambda row: float(row["mean"]))
    name = str(worst["corruption"]).replace("_", " ")
    clean, mean = format_cell(found.clean.accuracy), format_cell(1 - found.mean_error)
    return (
        f"Accuracy {clean} on clean images, {mean} on average under corruptions;"
        f" lowest: {name}, {format_cell(worst['mean'])}"
    )
