"""The verb `train`. Light zone at the top: mistakes are found before TensorFlow is imported."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgcls.config import Experiment
from imgcls.distributed import rendezvous
from imgcls.distributed.cluster import SINGLE_PROCESS, Cluster
from imgcls.errors import DataError, DivergenceError, Interrupted, UserError
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.io.signals import catch_signals
from imgcls.run import Run, create_run
from imgcls.run_lookup import find_runs, read_if_possible
from imgcls.store.lookup import (
    compute_split_key,
    find_store,
    find_stores_with_split,
    open_run_store,
)
from imgcls.store.manifest import DataDescription
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import history


def train(
    experiment: Experiment,
    folder: Path | None = None,
    epochs: int | None = None,
    cluster: Cluster = SINGLE_PROCESS,
    data: DataDescription | None = None,
) -> dict[str, Any] | None:
    """Train the experiment's model: start a run, continue one, or say that it is finished.

    Args:
        folder: the run folder. Without it, the experiment's newest run is continued if it is
            unfinished, else a new one is made.
        epochs: after how many epochs to stop; all unless given.
        cluster: the processes that train together, each of which calls this function.
        data: a run's, whose store and split a new run is trained on; those prepared last unless
            given.

    Returns:
        The summary that the command prints: run, status, epochs, selected epoch and its numbers;
            None where another process leads.

    Raises:
        UserError: `folder` holds another experiment's run, or is in use.
        DataError: there is no store, or the one on which the run began is not there as it was.
        DivergenceError, OutOfMemoryError, Interrupted: as `worker.train` says.
    """
    started = time.monotonic()
    if not cluster.is_chief:
        return _follow(experiment, folder, epochs, cluster, data, started)
    with contextlib.ExitStack() as stack:
        with rendezvous.explain_to_workers(cluster):
            run = _find_run_to_continue(experiment, folder)
            if run and _is_complete(run):
                terminal.note(f"{run.folder} is finished; there is nothing to train")
                _repair_log(run)
                return summarize(run)
            store, split = _open_data(experiment, run, data)
            _require_validation(experiment, split)
            run = run or create_run(experiment, folder)
            stack.enter_context(run.locked())
            _require_same_experiment(run, experiment)
            _record_data(run, store, split)
            run.remove_leftovers()
        stop = stack.enter_context(catch_signals(experiment.train.time_limit, started, epochs))
        stack.enter_context(_record_status(run))
        from imgcls.training import worker

        worker.train_run(run, experiment, store, split, stop, cluster)
    return summarize(run)


def _follow(
    experiment: Experiment,
    folder: Path,
    epochs: int | None,
    cluster: Cluster,
    data: DataDescription | None,
    started: float,
) -> None:
    """Train with the leading process, which alone writes and speaks."""
    run = _find_run_to_continue(experiment, folder)
    if run and _is_complete(run):
        return
    with terminal.silence():
        store, split = _open_data(experiment, run, data)
    _require_validation(experiment, split)
    with terminal.silence(), catch_signals(experiment.train.time_limit, started, epochs) as stop:
        from imgcls.training import worker

        worker.train_run(run or Run(folder), experiment, store, split, stop, cluster)


def _is_complete(run: Run) -> bool:
    return run.status.status == "finished" and run.model_file.exists()


def _repair_log(run: Run) -> None:
    """Write the log of a finished run anew where it is missing, damaged or too short.

    Raises:
        DataError: no saved state is left to write it from.
    """
    try:
        log = run.log
        if log and log[-1].step == run.status.step:
            return
        problem = f"{run.log_file} lacks the last epochs"
    except DataError as error:
        problem = str(error).rpartition("; ")[0]
    from imgcls.training import recorder

    recorder.rebuild_log(run, problem)


def summarize(run: Run) -> dict[str, Any]:
    """Return what a finished run came to."""
    experiment, epochs = run.experiment, run.log
    selected = (
        history.best_epoch(epochs, experiment.train.monitor)
        if experiment.train.select_weights == "best"
        else len(epochs)
    )
    row = epochs[selected - 1]
    return {
        "run": str(run.folder),
        "status": run.status.status,
        "epochs": len(epochs),
        "selected_epoch": selected,
        **{name: getattr(row, name) for name in ("loss", "accuracy", "val_loss", "val_accuracy")},
        "seconds": sum(epoch.seconds for epoch in epochs),
        "speed": history.describe_bottleneck(epochs),
        "model": str(run.model_file),
    }


def _find_run_to_continue(experiment: Experiment, folder: Path | None) -> Run | None:
    """Return the run that this command continues, or None if a new one is to be made."""
    if folder is None:
        return _find_unfinished(experiment)
    run = Run(folder)
    if os.path.lexists(run.config_file) and not run.can_be_recreated():
        run.require_format()
        _require_same_experiment(run, experiment)
        return run
    if folder.exists() and not run.can_be_recreated():
        raise UserError(f"--run {folder} exists, but holds no run; choose a new or empty folder")
    return None


def _find_unfinished(experiment: Experiment) -> Run | None:
    """Return the newest run of an experiment, if it is unfinished."""
    for run in find_runs(experiment.name)[-1:]:
        found = read_if_possible(run)
        if found and run.status.status != "finished" and found.identity() == experiment.identity():
            terminal.note(f"continuing {run.folder}, which is {run.status.status}")
            return run
    return None


def _require_same_experiment(run: Run, experiment: Experiment) -> None:
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


def _open_data(
    experiment: Experiment, run: Run | None, data: DataDescription | None
) -> tuple[Store, Split]:
    """Return the store and the split on which a run began, also when others were prepared since;
    for a new run, those of `data`.
    """
    if data or not run or not os.path.lexists(run.data_file):
        return open_run_store(data, experiment.data.store_dir) if data else find_store(experiment)
    store, split = open_run_store(run.data, experiment.data.store_dir)
    key = compute_split_key(experiment.data, experiment.seed)
    newest = next(iter(find_stores_with_split(Path(experiment.data.store_dir), key)), store)
    if (newest.fingerprint, key) != (store.fingerprint, split.key):
        terminal.note(
            f"{run.folder} goes on with the data and the split on which it began, in"
            f" {store.folder}, though others were prepared since (the newest in {newest.folder});"
            " to train on those, give a new folder with --run"
        )
    return store, split


def _require_validation(experiment: Experiment, split: Split) -> None:
    settings = experiment.train
    if not len(split.validation) and (
        settings.select_weights == "best" or settings.early_stopping or settings.plateau
    ):
        raise UserError(
            "the validation split is empty, but train.select_weights: best, train.early_stopping"
            " and train.plateau look at it; hold some images out with data.validation, or set"
            " train.select_weights: last and remove train.early_stopping and train.plateau"
        )


def _record_data(run: Run, store: Store, split: Split) -> None:
    """Write which data the run is trained on; refuse to continue on other data."""
    data = store.describe(split)
    if not os.path.lexists(run.data_file):
        write_record(run.data_file, data)
        return
    began = run.data
    for key in ("fingerprint", "split", "split_sha256"):
        was, found = getattr(began, key), getattr(data, key)
        if was != found:
            raise DataError(
                f"the data changed since {run.folder} began: its {key} was {was[:12]},"
                f" now it is {found[:12]}; bring the old data back, or start a new run with"
                " --run"
            )


@contextlib.contextmanager
def _record_status(run: Run) -> Iterator[None]:
    """Keep status.json true, whatever happens inside."""
    run.write_status("running", **_read_progress(run))
    try:
        yield
    except BaseException as error:
        state = "interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "failed"
        exit_code = (
            75
            if isinstance(error, KeyboardInterrupt)
            else error.exit_code
            if isinstance(error, UserError)
            else 1
        )
        divergence = error.details if isinstance(error, DivergenceError) else None
        reason = str(error) or type(error).__name__
        try:
            run.write_status(
                state,
                **_read_progress(run),
                divergence=divergence,
                exit_code=exit_code,
                reason=reason,
            )
        except UserError as second:
            error.add_note(str(second))
        raise
    run.write_status("finished", **_read_progress(run), exit_code=0)


def _read_progress(run: Run) -> dict[str, Any]:
    """Return what status.json says about how far the training came."""
    return run.status.model_dump(include={"step", "retries", "accumulation_steps"})
