"""What a continued run shares with its start: experiment, data and split. Light zone."""

import os
from pathlib import Path
from typing import Any

from imgcls.config import Experiment
from imgcls.errors import DataError, UserError
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.run_lookup import find_runs, try_read_experiment
from imgcls.store.lookup import (
    compute_split_key,
    find_store,
    find_stores_with_split,
    open_run_store,
)
from imgcls.store.manifest import DataDescription
from imgcls.store.split_file import Split
from imgcls.store.store import Store


def find_run_to_continue(experiment: Experiment, folder: Path | None) -> Run | None:
    """Return the run to continue, or None if a new one is to be made.

    Args:
        folder: of the run; without it, the experiment's newest run counts, if it is unfinished.

    Raises:
        UserError: the folder holds another experiment's run, or something that is not a run.
        DataError: the run has another format.
    """
    if folder is None:
        return _find_unfinished(experiment)
    run = Run(folder)
    if os.path.lexists(run.config_file) and not run.can_be_recreated():
        run.require_format()
        require_same_experiment(run, experiment)
        return run
    if folder.exists() and not run.can_be_recreated():
        raise UserError(f"--run {folder} exists, but is not a run; choose a new or empty folder")
    return None


def _find_unfinished(experiment: Experiment) -> Run | None:
    """Return the experiment's newest run if it is unfinished."""
    for run in find_runs(experiment.name)[-1:]:
        found = try_read_experiment(run)
        if found and run.status.status != "finished" and found.identity() == experiment.identity():
            terminal.note(f"continuing {run.folder}, which is {run.status.status}")
            return run
    return None


def open_data(
    experiment: Experiment, run: Run | None, data: DataDescription | None
) -> tuple[Store, Split]:
    """Open the store and the split that a run is trained on.

    A run keeps those of its start, even if others were prepared since; a new one takes those of
    `data` if given, else those that were prepared last.

    Raises:
        DataError: there is no such store, or no such split in it.
    """
    if data or not run or not os.path.lexists(run.data_file):
        return open_run_store(data, experiment.data.store_dir) if data else find_store(experiment)
    store, split = open_run_store(run.data, experiment.data.store_dir)
    key = compute_split_key(experiment.data, experiment.seed)
    newest = next(iter(find_stores_with_split(Path(experiment.data.store_dir), key)), store)
    if (newest.fingerprint, key) != (store.fingerprint, split.key):
        terminal.note(
            f"{run.folder} continues on the data and the split that it started with, in"
            f" {store.folder}, although others were prepared since (the newest in {newest.folder});"
            " to train on those, give a new folder with --run"
        )
    return store, split


def require_same_experiment(run: Run, experiment: Experiment) -> None:
    """Refuse to continue a run with another experiment.

    Raises:
        UserError: with a line for each setting that differs.
    """
    there, here = _flatten(run.experiment.identity()), _flatten(experiment.identity())
    missing = object()
    keys = [key for key in {**there, **here} if there.get(key, missing) != here.get(key, missing)]
    differences = [
        f"  {key}: {_format_given(there, key)} there, {_format_given(here, key)} here"
        for key in keys
    ]
    if differences:
        raise UserError(
            "\n".join(
                [
                    (
                        f"--run {run.folder} holds a run of another experiment; choose another"
                        " folder. They differ in"
                    ),
                    *differences,
                ]
            )
        )


def _format_given(flat: dict[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "not given"


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as one mapping with dotted keys."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else None
    )
    if items is None:
        return {prefix.removesuffix("."): value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat.update(_flatten(inner, f"{prefix}{key}."))
    return flat


def record_data(run: Run, store: Store, split: Split) -> None:
    """Write which data a new run is trained on; refuse to continue on other data.

    Raises:
        DataError: the store's content or the split is not what the run started with.
    """
    data = store.describe(split)
    if not os.path.lexists(run.data_file):
        write_record(run.data_file, data)
        return
    start = run.data
    for key in ("fingerprint", "split", "split_sha256"):
        was, now = getattr(start, key), getattr(data, key)
        if was != now:
            raise DataError(
                f"the data changed since {run.folder} was started: its {key} was {was[:12]}, and is"
                f" {now[:12]} now; restore the old data, or start a new run with --run"
            )
