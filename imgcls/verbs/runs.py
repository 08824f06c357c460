"""The verb `runs`: lists, sorts and filters the runs and families below runs/. Light zone."""

import os
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgcls.errors import DataError
from imgcls.family import Family
from imgcls.io import terminal
from imgcls.io.records import FormatError
from imgcls.io.terminal import to_printable
from imgcls.report import mlflow_log, run_values, runs_page
from imgcls.report.tables import format_table
from imgcls.result_folder import ResultFolder
from imgcls.run import RUNS, Run
from imgcls.run_lookup import find_all_families, find_all_runs
from imgcls.training.history import get_selected_epoch

_AVERAGED = ("val_loss", "val_accuracy", "test_accuracy")
_COLUMNS = ("run", "status", "epochs", "selected_epoch", *_AVERAGED, "reproduction", "mean_of")


@dataclass(frozen=True)
class RunQuery:
    """Which runs are listed, in which order, and with which values beside the usual columns.

    Attributes:
        sort: the name of a value; by the names of the runs unless given.
        reverse: the highest first; runs without the value stay last.
        where: conditions that all must hold, such as `test.accuracy>=0.9`.
        show: names of further values, each a column.
        differing: whether settings that differ between the listed runs are shown, too.
        page: whether the rows are also written to runs/index.html.
        mlflow: the address of an MLflow server, to which the finished runs are logged.
    """

    sort: str | None = None
    reverse: bool = False
    where: Sequence[str] = ()
    show: Sequence[str] = ()
    differing: bool = False
    page: bool = False
    mlflow: str | None = None


def query_runs(query: RunQuery) -> list[dict[str, Any]]:
    """Return the rows of `list_runs` that a query selects, in its order, with its columns.

    A family has the settings that its runs share, and the means of their metrics.

    Raises:
        UserError: a condition is not one, or no run has a value that is named.
    """
    filters = [run_values.parse_filter(text) for text in query.where]
    named = [each.name for each in filters] + [*query.show, *([query.sort] if query.sort else [])]
    rows = list_runs()
    if not (named or query.differing):
        return _publish(rows, query)
    families = {str(family.folder): family for family in find_all_families()}
    values = {row["run"]: row | _read_values(row["run"], families) for row in rows}
    if rows:
        run_values.require_known(named, list(values.values()))
    rows = [
        row
        for row in rows
        if all(each.matches(values[row["run"]].get(each.name)) for each in filters)
    ]
    if query.sort:
        rows = _sort(rows, [values[row["run"]].get(query.sort) for row in rows], query.reverse)
    columns = list(query.show) + ([query.sort] if query.sort else [])
    if query.differing:
        columns += run_values.list_differing([values[row["run"]] for row in rows])
    shown = [name for name in dict.fromkeys(columns) if name not in _COLUMNS]
    rows = [row | {name: values[row["run"]].get(name) for name in shown} for row in rows]
    return _publish(rows, query)


def _publish(rows: list[dict[str, Any]], query: RunQuery) -> list[dict[str, Any]]:
    """Write the page, and log to MLflow, as the query wants; return the rows."""
    if query.page:
        path = ResultFolder(RUNS).overview_page
        runs_page.write_page(rows, path)
        terminal.note(f"wrote {path}")
    if query.mlflow is not None:
        families = {str(family.folder) for family in find_all_families()}
        folders = [row["run"] for row in rows if row["run"] not in families]
        mlflow_log.log_runs(folders, query.mlflow)
    return rows


def _read_values(folder: str, families: Mapping[str, Family]) -> dict[str, Any]:
    """Return the values of a run or family; none, with a note, if a file of it is damaged."""
    with terminal.note_unusable():
        if folder in families:
            return run_values.read_family_values(families[folder])
        return run_values.read_values(Run(Path(folder)))
    return {}


def _sort(rows: Sequence[dict[str, Any]], values: Sequence[Any], reverse: bool) -> list[Any]:
    """Return rows in the order of values; those without one are last."""
    pairs = list(zip(values, rows, strict=True))
    known = [pair for pair in pairs if pair[0] is not None]
    known.sort(key=lambda pair: run_values.make_sort_key(pair[0]), reverse=reverse)
    return [row for _, row in known] + [row for value, row in pairs if value is None]


def list_runs() -> list[dict[str, Any]]:
    """Return a row for each run and each family below runs/.

    A row has the status, the number of epochs, the selected epoch with its validation loss and
    accuracy, test accuracy if evaluated, and what the run is a reproduction of. While a run is not
    finished, its selected epoch is that of the epochs so far. The status is "damaged" if a file
    cannot be read, and the format if another version of imgcls wrote the run. The row of a family
    has the means of its finished runs, whose number is `mean_of`.
    """
    runs = [_make_row(run) for run in find_all_runs()]
    return sorted([*runs, *map(_make_family_row, find_all_families())], key=_get_sort_key)


def _make_family_row(family: Family) -> dict[str, Any]:
    row = dict.fromkeys(_COLUMNS) | {"run": str(family.folder), "status": "damaged"}
    try:
        rows = [_make_row(run) for run in family.runs if os.path.lexists(run.config_file)]
        count = len(family.runs)
    except FormatError as error:
        return {**row, "status": f"format {error.folder_format}"}
    except DataError:
        return row
    finished = [each for each in rows if each["status"] == "finished"]
    row["status"] = "finished" if len(finished) == count else f"{len(finished)} of {count} finished"
    for name in _AVERAGED:
        values = [each[name] for each in finished]
        if values and None not in values:
            row[name] = statistics.fmean(values)
    return row | {"mean_of": len(finished) or None}


def _make_row(run: Run) -> dict[str, Any]:
    row = dict.fromkeys(_COLUMNS) | {"run": str(run.folder), "status": "damaged"}
    try:
        status, log, settings = run.status.status, run.log, run.experiment.train
        evaluated = os.path.lexists(run.metrics_file("test"))
        tested = run.read_evaluation("test").metrics if evaluated else {}
        reproduction = run.reproduction
    except FormatError as error:
        return {**row, "status": f"format {error.folder_format}"}
    except DataError:
        return row
    row |= {"status": status, "epochs": 0, "test_accuracy": tested.get("accuracy")}
    row["reproduction"] = reproduction
    if log:
        selected = get_selected_epoch(log, settings)
        validated = selected.model_dump(include={"val_loss", "val_accuracy"})
        row |= {"epochs": log[-1].epoch, "selected_epoch": selected.epoch, **validated}
    return row


def format_runs(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the runs as a table, with a line below for each family and each reproduction."""
    extra = [name for name in (rows[0] if rows else ()) if name not in _COLUMNS]
    columns = [name for name in (*_COLUMNS, *extra) if name not in ("reproduction", "mean_of")]
    table = format_table([{name: row[name] for name in columns} for row in rows])
    marks = [to_printable(line) for row in rows for line in _describe_row(row)]
    return "\n\n".join(filter(None, [table, "\n".join(marks)]))


def _describe_row(row: Mapping[str, Any]) -> list[str]:
    if row["mean_of"]:
        count = row["mean_of"]
        return [f"{row['run']}: means of {count} {'runs' if count > 1 else 'run'}"]
    if row["reproduction"]:
        return [f"{row['run']} reproduces {row['reproduction'].describe()}"]
    return []


def _get_sort_key(row: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return a key by which numbers in names are sorted as numbers."""
    words = re.split(r"(\d+)", row["run"])
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]
