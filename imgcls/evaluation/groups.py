"""Metrics of groups of images, such as those of one camera or hospital, and the gap between groups.
Light zone.
"""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls.config import Evaluate, Experiment
from imgcls.errors import DataError, UserError
from imgcls.evaluation.failures import Table
from imgcls.evaluation.intervals import Interval, compute_wilson_interval
from imgcls.evaluation.predictions import Predictions
from imgcls.evaluation.spread import compute_t_quantile
from imgcls.io import terminal
from imgcls.metrics.accuracy import is_correct
from imgcls.metrics.log_loss import compute_log_loss
from imgcls.parts import suggest
from imgcls.store import lookup
from imgcls.store.manifest import DataDescription

if TYPE_CHECKING:
    import numpy

Groups = Mapping[str, Sequence[str]]
"""The group of each image of some predictions, by the name of the column."""

MIN_IMAGES = 10
"""Groups with fewer images have no part in the gap: one image is right or wrong by chance."""
SHOWN = 100
"""Groups of a column in the table, at most: those with the lowest accuracy."""
NONE = "(none)"
"""The group of images without a value."""


def find_groups(data: DataDescription, experiment: Experiment, found: Predictions) -> Groups:
    """Return the groups of the images of predictions that `evaluate.groups` names.

    Args:
        data: of the run.

    Raises:
        UserError: the list cannot be read, or lacks a column; or the data set has no groups.
        DataError: images are not in the list; or the store is missing or has changed.
    """
    settings = experiment.evaluate
    if not settings.groups:
        return {}
    if settings.groups_file is None:
        return {"group": _read_from_store(data, experiment, found)}
    return _read_from_file(Path(settings.groups_file).expanduser(), settings, found)


def _read_from_store(
    data: DataDescription, experiment: Experiment, found: Predictions
) -> list[str]:
    store, _ = lookup.open_run_store(data, experiment.data.store_dir)
    if store.groups is None:
        raise UserError(
            f"evaluate.groups: the data set {data.dataset} has no groups; give evaluate.groups_file"
        )
    import numpy

    texts = [group.decode("utf-8", "surrogateescape") or NONE for group in store.groups.tolist()]
    named = dict(zip(store.get_ids(numpy.arange(store.count)), texts, strict=True))
    return [named[name] for name in found.ids]


def _read_from_file(path: Path, settings: Evaluate, found: Predictions) -> Groups:
    rows = _read_rows(path)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for name in ("path", *settings.groups):
        if name not in columns:
            raise UserError(
                f"{path} has no column {name!r}, which evaluate.groups needs; it has"
                f" {terminal.format_some(columns)}{suggest(name, columns)}"
            )
    named = {os.path.normpath(str(row["path"])): row for row in rows if row.get("path")}
    missing = [name for name in found.ids if os.path.normpath(name) not in named]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(found.ids):,} images are not in {path}, the first is"
            f" {terminal.to_printable(missing[0])}; list every image of the split"
        )
    shown = [named[os.path.normpath(name)] for name in found.ids]
    return {name: [_to_text(row.get(name)) for row in shown] for name in settings.groups}


def _to_text(value: Any) -> str:
    return NONE if value is None or value == "" else str(value)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a list by column.

    Raises:
        UserError: it cannot be read, is not text, or has another extension.
    """
    delimiter = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    try:
        text = path.read_text(encoding="utf-8-sig")
        if delimiter:
            return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
        if path.suffix.lower() == ".jsonl":
            return [dict(json.loads(line)) for line in text.splitlines() if line.strip()]
    except OSError as error:
        raise UserError(
            f"evaluate.groups_file: cannot read {path}: {error.strerror}; give the path of a list"
        ) from None
    except (ValueError, TypeError, csv.Error) as error:
        raise UserError(f"evaluate.groups_file: cannot read {path}: {error}") from None
    raise UserError(
        f"evaluate.groups_file: {path} does not end in .csv, .tsv or .jsonl, which says how to read"
        " it; rename it"
    )


def measure_groups(
    groups: Groups | None, predictions: Predictions, confidence: float
) -> dict[str, Table]:
    """Return the tables `groups` and `group_gaps`; none without groups.

    Args:
        confidence: of the intervals, 0..1.
    """
    if not groups:
        return {}
    rows: Table = []
    gaps: Table = []
    for column, values in groups.items():
        measured = _measure_column(column, values, predictions, confidence)
        rows += measured[:SHOWN]
        gaps.append(_compute_gap(column, measured, confidence))
    return {"groups": rows, "group_gaps": gaps}


def _measure_column(
    column: str, values: Sequence[str], predictions: Predictions, confidence: float
) -> Table:
    """Return a row for each group, those of the lowest accuracy first."""
    import numpy

    names, members = numpy.unique(numpy.array(values, dtype=object), return_inverse=True)
    correct = predictions.per_image(is_correct)
    loss = predictions.per_image(compute_log_loss)
    rows: Table = []
    for number, name in enumerate(names):
        inside = members == number
        count, hits = int(inside.sum()), int(correct[inside].sum())
        low, high = compute_wilson_interval(hits, count, confidence)
        mean = float(loss[inside].mean())
        half = _compute_half_width(loss[inside], confidence)
        rows.append(
            {
                "column": column,
                "group": str(name),
                "images": count,
                "accuracy": hits / count,
                "accuracy_low": low,
                "accuracy_high": high,
                "log_loss": mean,
                "log_loss_low": None if half is None else max(0.0, mean - half),
                "log_loss_high": None if half is None else mean + half,
            }
        )
    return sorted(rows, key=lambda row: (row["accuracy"], row["group"]))


def _compute_half_width(losses: "numpy.ndarray", confidence: float) -> float | None:
    """Return half the width of Student's t interval of a mean; None for one image."""
    count = len(losses)
    if count < 2:
        return None
    return compute_t_quantile(count - 1, confidence) * float(losses.std(ddof=1)) / count**0.5


def _compute_gap(column: str, rows: Table, confidence: float) -> dict[str, Any]:
    """Return the gap in accuracy between the best and the worst group that are large enough.

    The interval is Newcombe's (1998, method 10), at a level that allows for the choice of the two
    groups among all pairs (Bonferroni): it excludes 0 only if that is more than chance.
    """
    large: list[dict[str, Any]] = [row for row in rows if _count(row) >= MIN_IMAGES]
    gap: dict[str, Any] = {
        "column": column,
        "groups": len(rows),
        "compared": len(large),
        "lowest": None,
        "highest": None,
        "gap": None,
        "gap_low": None,
        "gap_high": None,
    }
    if len(large) < 2:
        return gap
    worst, best = large[0], large[-1]
    pairs = len(large) * (len(large) - 1) // 2
    level = 1 - (1 - confidence) / pairs
    low, high = compute_newcombe_interval(_count_hits(best), _count_hits(worst), level)
    return gap | {
        "lowest": worst["group"],
        "highest": best["group"],
        "gap": best["accuracy"] - worst["accuracy"],
        "gap_low": low,
        "gap_high": high,
    }


def _count(row: Mapping[str, Any]) -> int:
    return int(row["images"])


def _count_hits(row: Mapping[str, Any]) -> tuple[int, int]:
    return round(row["accuracy"] * row["images"]), _count(row)


def compute_newcombe_interval(
    one: tuple[int, int], other: tuple[int, int], confidence: float
) -> Interval:
    """Return the interval of a difference of fractions of independent images, one - other.

    Newcombe, 1998, method 10: it combines the Wilson intervals of both.

    Args:
        one, other: successes and images, at least one image.
        confidence: of the interval, 0..1.
    """
    first, second = (successes / count for successes, count in (one, other))
    low, high = compute_wilson_interval(*one, confidence)
    other_low, other_high = compute_wilson_interval(*other, confidence)
    difference = first - second
    return (
        difference - ((first - low) ** 2 + (other_high - second) ** 2) ** 0.5,
        difference + ((high - first) ** 2 + (second - other_low) ** 2) ** 0.5,
    )
