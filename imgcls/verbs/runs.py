"""A table of the runs below runs/. Light zone."""

from typing import Any

from imgcls.errors import UserError
from imgcls.io import files
from imgcls.run import Run, find_all_runs


def list_runs() -> list[dict[str, Any]]:
    """Return a row for each run below runs/, named or numbered: status, epochs, last validation
    numbers, test accuracy if evaluated.

    A run whose files cannot be read has the status "damaged", and hides no other.
    """
    return [_make_row(run) for run in sorted(find_all_runs(), key=_get_sort_key)]


def _make_row(run: Run) -> dict[str, Any]:
    row = {
        "run": str(run.folder),
        "status": "damaged",
        "epochs": None,
        "val_loss": None,
        "val_accuracy": None,
        "test_accuracy": None,
    }
    try:
        status, log = run.status["status"], run.log
        tested = (
            files.read_json(run.metrics_file("test"))["metrics"]
            if run.metrics_file("test").exists()
            else {}
        )
    except (UserError, OSError, KeyError):
        return row
    last = {name: log[-1][name] for name in ("val_loss", "val_accuracy")} if log else {}
    return {
        **row,
        "status": status,
        "epochs": len(log),
        **last,
        "test_accuracy": tested.get("accuracy"),
    }


def _get_sort_key(run: Run) -> tuple[str, int, str]:
    return (
        str(run.folder.parent),
        int(run.folder.name) if run.folder.name.isdigit() else 0,
        run.folder.name,
    )
