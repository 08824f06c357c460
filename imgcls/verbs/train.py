"""The verb `train`. Light zone at the top: mistakes are found before TensorFlow is imported."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgcls.config import Experiment
from imgcls.distributed import rendezvous
from imgcls.distributed.cluster import Cluster, find_cluster
from imgcls.errors import DataError, DivergenceError, Interrupted, UserError
from imgcls.io import terminal
from imgcls.io.signals import catch_signals
from imgcls.run import Run, create_run
from imgcls.store.manifest import DataDescription
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import history, resume


def train(
    experiment: Experiment,
    folder: Path | None = None,
    epochs: int | None = None,
    cluster: Cluster | None = None,
    data: DataDescription | None = None,
) -> dict[str, Any] | None:
    """Train the experiment's model: start a run, continue one, or say that it is finished.

    Args:
        folder: of the run; unless given, that of the newest run if unfinished, else a new one.
        epochs: the number of epochs after which to stop; all unless given.
        cluster: the processes that train together, each of which calls this function; those of
            TF_CONFIG or Slurm unless given, or this one alone.
        data: the store and split of a new run; those prepared last unless given.

    Returns:
        The summary that the command prints: run, status, epochs, selected epoch and its numbers.
        None in a worker that is not the chief.

    Raises:
        UserError: `folder` holds another experiment's run, or is in use.
        DataError: there is no prepared data, or it is not what the run started with.
        DivergenceError, OutOfMemoryError, Interrupted: as `worker.train` says.
    """
    started = time.monotonic()
    cluster = cluster or find_cluster(experiment, folder)
    if not cluster.is_chief:
        _follow(experiment, folder, epochs, cluster, data, started)
        return None
    with contextlib.ExitStack() as stack:
        with rendezvous.report_errors_to_workers(cluster):
            run = resume.find_run_to_continue(experiment, folder)
            if run and _is_complete(run):
                return _report_complete(run)
            store, split = resume.open_data(experiment, run, data)
            _require_validation(experiment, split)
            run = run or create_run(experiment, folder)
            stack.enter_context(_lock(run, experiment, store, split))
        stop = stack.enter_context(catch_signals(experiment.train.time_limit, started, epochs))
        stack.enter_context(_record_status(run))
        from imgcls.training import worker

        worker.train_run(run, experiment, store, split, stop, cluster)
    return summarize(run)


def _follow(
    experiment: Experiment,
    folder: Path | None,
    epochs: int | None,
    cluster: Cluster,
    data: DataDescription | None,
    started: float,
) -> None:
    """Train as a worker that is not the chief: write nothing, and print nothing."""
    if folder is None:
        raise ValueError("workers need the run folder that they share")
    run = resume.find_run_to_continue(experiment, folder)
    if run and _is_complete(run):
        return
    with terminal.silence():
        store, split = resume.open_data(experiment, run, data)
    _require_validation(experiment, split)
    with terminal.silence(), catch_signals(experiment.train.time_limit, started, epochs) as stop:
        from imgcls.training import worker

        worker.train_run(run or Run(folder), experiment, store, split, stop, cluster)


@contextlib.contextmanager
def _lock(run: Run, experiment: Experiment, store: Store, split: Split) -> Iterator[None]:
    """Hold the run's lock, once the run turned out to be of this experiment and data."""
    with run.lock():
        resume.require_same_experiment(run, experiment)
        resume.record_data(run, store, split)
        run.remove_leftovers()
        yield


def _is_complete(run: Run) -> bool:
    return run.status.status == "finished" and run.model_file.exists()


def _report_complete(run: Run) -> dict[str, Any]:
    terminal.note(f"{run.folder} is finished; there is nothing to train")
    _repair_log(run)
    return summarize(run)


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
        history.find_best_epoch(epochs, experiment.train.monitor)
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
