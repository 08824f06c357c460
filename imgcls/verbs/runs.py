"""The verb `runs`: lists the runs below runs/. Light zone."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from imgcls.errors import DataError
from imgcls.io.records import FormatError
from imgcls.io.terminal import to_printable
from imgcls.report.tables import format_table
from imgcls.run import Run
from imgcls.run_lookup import find_all_runs
from imgcls.training.history import find_selected_epoch


def list_runs() -> list[dict[str, Any]]:
    """Return a row for each run below runs/.

    A row has the status, the number of epochs, the selected epoch with its validation loss and
    accuracy, test accuracy if evaluated, and what the run is a reproduction of. While a run is not
    finished, its selected epoch is that of the epochs so far. The status is "damaged" if a file
    cannot be read, and the format if another version of imgcls wrote the run.
    """
    return [_make_row(run) for run in sorted(find_all_runs(), key=_get_sort_key)]


def _make_row(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": str(run.folder),
        "status": "damaged",
        "epochs": None,
        "selected_epoch": None,
        "val_loss": None,
        "val_accuracy": None,
        "test_accuracy": None,
        "reproduction": None,
    }
    try:
        status, log, settings = run.status.status, run.log, run.experiment.train
        evaluated = os.path.lexists(run.metrics_file("test"))
        tested = run.read_evaluation("test").metrics if evaluated else {}
        reproduction = run.reproduction
    except FormatError as error:
        return {**row, "status": f"format {error.folder_format}"}
    except DataError:
        return row
    row |= {"status": status, "epochs": len(log), "test_accuracy": tested.get("accuracy")}
    row["reproduction"] = reproduction
    if log:
        number = find_selected_epoch(log, settings)
        validated = log[number - 1].model_dump(include={"val_loss", "val_accuracy"})
        row |= {"selected_epoch": number, **validated}
    return row


def format_runs(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the runs as a table, with a line below for each reproduction."""
    columns = [name for name in rows[0] if name != "reproduction"] if rows else []
    table = format_table([{name: row[name] for name in columns} for row in rows])
    marks = [
        to_printable(f"{row['run']} reproduces {row['reproduction'].describe()}")
        for row in rows
        if row["reproduction"]
    ]
    return "\n\n".join(filter(None, [table, "\n".join(marks)]))


def _get_sort_key(run: Run) -> tuple[str, int, str]:
    return (
        str(run.folder.parent),
        int(run.folder.name) if run.folder.name.isdecimal() else 0,
        run.folder.name,
    )
