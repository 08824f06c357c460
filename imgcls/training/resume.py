"""Finds the run to continue, and checks that its experiment and data are the same. Light zone."""

import os
from pathlib import Path
from typing import Any

from imgcls.config import Experiment
from imgcls.environment import Start, find_differences
from imgcls.errors import DataError, UserError
from imgcls.experiment_file import flatten
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.run_lookup import find_originals, format_command, try_read_experiment
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
    """Return the run to continue; None to start a new one.

    Args:
        folder: of the run; None for the experiment's newest run, without reproductions, if it is
            unfinished.

    Raises:
        UserError: the folder has a run of another experiment, or is not a run folder.
        DataError: another version of imgcls wrote the run.
    """
    if folder is None:
        return _find_unfinished(experiment)
    run = Run(folder)
    if os.path.lexists(run.config_file) and not run.can_be_recreated():
        run.require_format()
        if run.is_compressed:
            raise UserError(
                f"--run {folder} was compressed, not trained; continue it with:"
                f" {format_command(run)}"
            )
        from imgcls.training.extension import require_continuable  # which imports this module

        require_continuable(run, experiment)
        return run
    if folder.exists() and not run.can_be_recreated():
        raise UserError(f"--run {folder} exists, but is not a run; choose a new or empty folder")
    return None


def _find_unfinished(experiment: Experiment) -> Run | None:
    """Return the experiment's newest run, without reproductions, if it is unfinished."""
    for run in find_originals(experiment.name)[-1:]:
        earlier = try_read_experiment(run)
        if not earlier or earlier.identity() != experiment.identity():
            continue
        if run.status.status != "finished":
            terminal.note(f"continuing {run.folder}, which is {run.status.status}")
            return run
    return None


def open_data(
    experiment: Experiment, run: Run | None, data: DataDescription | None
) -> tuple[Store, Split]:
    """Open the store and the split to train on.

    A run to continue uses those it started with, even if others were prepared since. If it failed
    because they changed, every byte is verified: a store can have files that are too large to
    verify at each start.

    Args:
        run: to continue; None for a new one.
        data: the store and split of a new run; None for those prepared last.

    Raises:
        DataError: the store or the split does not exist.
    """
    if data or not run or not os.path.lexists(run.data_file):
        return open_run_store(data, experiment.data.store_dir) if data else find_store(experiment)
    store, split = open_run_store(run.data, experiment.data.store_dir)
    if run.status.exit_code == DataError.exit_code:
        store.verify(max_bytes=None)
    key = compute_split_key(experiment.data, experiment.split_seed)
    newest = next(iter(find_stores_with_split(Path(experiment.data.store_dir), key)), store)
    if (newest.fingerprint, key) != (store.fingerprint, split.key):
        terminal.note(
            f"{run.folder} continues on the data and the split that it started with, in"
            f" {store.folder}, although others were prepared since (the newest in {newest.folder});"
            " to train on those, give a new folder with --run"
        )
    return store, split


def require_same_experiment(folder: Path, earlier: Experiment, experiment: Experiment) -> None:
    """Check that a run or a family is one of this experiment.

    Args:
        folder: of the run or family.
        earlier: its experiment.

    Raises:
        UserError: the experiment differs; the error lists all differing settings.
    """
    there, here = flatten(earlier.identity()), flatten(experiment.identity())
    missing = object()
    keys = [key for key in {**there, **here} if there.get(key, missing) != here.get(key, missing)]
    differences = [
        f"  {key}: {_format_setting(there, key)} there, {_format_setting(here, key)} here"
        for key in keys
    ]
    if differences:
        title = f"--run {folder} is of another experiment; choose another folder. They differ in"
        raise UserError("\n".join([title, *differences]))


def _format_setting(settings: dict[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "not given"


def note_changed_environment(run: Run, previous: Start, current: Start) -> None:
    """Name what changed since the last start of a run and can change the bits of its result."""
    changes = find_differences(previous.list_properties(), current.list_properties())
    if changes:
        terminal.note(
            f"{run.folder} continues in another environment, so its result may differ in bits from"
            f" that of an uninterrupted run: {'; '.join(changes)}"
        )


def record_data(run: Run, store: Store, split: Split) -> None:
    """Write data.json for a new run; check it for a continued one.

    Raises:
        DataError: the store's content or the split has changed since the run started.
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
