"""The metrics of a split as plain text for people. Light zone."""

from pathlib import Path
from typing import Any

from imgcls.evaluation.summary import Evaluation
from imgcls.io.terminal import to_printable

NAME_WIDTH = 32
"""Longer class names lose their middle."""


def format_report(evaluation: Evaluation, folder: Path) -> str:
    """Return the report of an evaluation: the numbers, a table of the classes, and each metric's
    tables.

    It shows what is there: a new metric needs no change here.
    """
    sections = [_format_header(evaluation, folder), _format_table(_make_metric_rows(evaluation))]
    if evaluation.per_class:
        sections.append(_format_table(_make_class_rows(evaluation)))
    for name, rows in evaluation.tables.items():
        if rows:
            sections.append(f"{_to_words(name)}\n\n{_format_table(rows)}")
    return "\n\n".join(sections) + "\n"


def _format_header(evaluation: Evaluation, folder: Path) -> str:
    classes, absent = evaluation.classes, evaluation.classes_absent
    lines = [
        f"{to_printable(str(folder))}: {evaluation.split} split, {evaluation.examples} images,"
        f" model {evaluation.model[:12]}"
    ]
    if evaluation.intervals:
        percent = f"{100 * evaluation.confidence:g} %"
        lines.append(
            f"interval: {percent} of {evaluation.bootstrap_samples} bootstrap samples of the images"
            " lie in it"
        )
    if absent:
        present = len(classes) - len(absent)
        names = ", ".join(map(_shorten, absent))
        lines.append(
            f"macro means are over {present} of {len(classes)} classes; absent from this split:"
            f" {names}"
        )
    return "\n".join(lines)


def _make_metric_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return a row a number, by the name that `--fail-under` takes."""
    intervals = {**dict.fromkeys(evaluation.metrics), **evaluation.intervals}
    return [
        {"metric": name, "value": value, "interval": _format_interval(intervals[name])}
        for name, value in evaluation.metrics.items()
    ]


def _format_interval(ends: tuple[float, float] | None) -> str:
    return f"[{_format_cell(ends[0])}, {_format_cell(ends[1])}]" if ends else ""


def _make_class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    columns = {"class": evaluation.classes, **evaluation.per_class}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _format_table(rows: list[dict[str, Any]]) -> str:
    """Lay out rows of the same keys: text to the left, numbers to the right, widths counted in
    terminal cells.
    """
    from rich.cells import cell_len

    if not rows:
        return ""
    columns = []
    for key in rows[0]:
        cells = [_to_words(key), *(_format_cell(row[key]) for row in rows)]
        width = max(map(cell_len, cells))
        is_text = any(isinstance(row[key], str) for row in rows)
        columns.append(
            [
                (
                    cell + " " * (width - cell_len(cell))
                    if is_text
                    else " " * (width - cell_len(cell)) + cell
                )
                for cell in cells
            ]
        )
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _format_cell(value: Any) -> str:
    if value is None:
        return "undefined"
    if isinstance(value, float):
        return f"{value:.4f}"
    return _shorten(str(value))


def _to_words(name: str) -> str:
    return name.replace("_", " ")


def _shorten(name: str) -> str:
    """Return a printable name that keeps its two ends."""
    shown = to_printable(name)
    if len(shown) <= NAME_WIDTH:
        return shown
    half = (NAME_WIDTH - 1) // 2
    return f"{shown[: NAME_WIDTH - 1 - half]}…{shown[-half:]}"
