"""The verb `runs`: lists the runs and families below runs/. Light zone."""

import os
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from imgcls.errors import DataError
from imgcls.family import Family
from imgcls.io.records import FormatError
from imgcls.io.terminal import to_printable
from imgcls.report.tables import format_table
from imgcls.run import Run
from imgcls.run_lookup import find_all_families, find_all_runs
from imgcls.training.history import get_selected_epoch

_AVERAGED = ("val_loss", "val_accuracy", "test_accuracy")
_COLUMNS = ("run", "status", "epochs", "selected_epoch", *_AVERAGED, "reproduction", "mean_of")


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
    columns = [name for name in _COLUMNS if name not in ("reproduction", "mean_of")]
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
