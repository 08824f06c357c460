"""The verb `train`: trains an experiment's model, or continues a run. Light zone.

Mistakes are reported before TensorFlow is imported, or when the model is built; they leave no run.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imgcls.config import Experiment
from imgcls.distributed import rendezvous
from imgcls.distributed.cluster import Cluster, find_cluster
from imgcls.errors import (
    DataError,
    DivergenceError,
    Interrupted,
    UserError,
    get_exit_code,
)
from imgcls.io import restart, terminal
from imgcls.io.refused_folders import remove_if_refused
from imgcls.io.signals import catch_signals
from imgcls.report.tables import format_pairs, format_table
from imgcls.run import Run
from imgcls.store.manifest import DataDescription
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import extension, history, resume, teacher
from imgcls.training.history import EpochLog
from imgcls.training.model_description import read_description
from imgcls.training.new_run import create_run
from imgcls.training.precision import require_consistent
from imgcls.transfer import source


def train(
    experiment: Experiment,
    folder: Path | None = None,
    epochs: int | None = None,
    cluster: Cluster | None = None,
    data: DataDescription | None = None,
    started: float | None = None,
) -> dict[str, Any] | None:
    """Train an experiment's model: start a run, or continue one that is not finished.

    Args:
        folder: of the run; None for the newest run if it is not finished, else for a new one.
        epochs: number of epochs after which to stop; None for all.
        cluster: the workers, which all call this; None for TF_CONFIG's, Slurm's, or this process.
        data: store and split of a new run; None for those prepared last.
        started: when the command started, by `time.monotonic`, for `train.time_limit`; None for
            what `restart.get_start` says.

    Returns:
        The summary that the command prints: run, status, epochs, and the results of the selected
        epoch and of the last one. None in a worker that is not the chief.

    Raises:
        UserError: `folder` is in use, or of another experiment; also as `require_consistent`.
        DataError: the data is not prepared, or has changed since the run started.
        DivergenceError, OutOfMemoryError, Interrupted: as `worker.train_run`.
    """
    started = restart.get_start() if started is None else started
    cluster = cluster or find_cluster(experiment, folder)
    if not cluster.is_chief:
        _follow(experiment, folder, epochs, cluster, data, started)
        return None
    with contextlib.ExitStack() as stack:
        with rendezvous.report_errors_to_workers(cluster):
            require_consistent(experiment.train.precision, os.environ)
            run = resume.find_run_to_continue(experiment, folder)
            if run and _is_complete(run, experiment):
                return _report_complete(run)
            store, split = resume.open_data(experiment, run, data)
            require_validation(experiment, split)
            run = run or _start_run(experiment, folder)
            stack.enter_context(_lock_and_check(run, experiment, store, split))
        stop = stack.enter_context(catch_signals(experiment.train.time_limit, started, epochs))
        stack.enter_context(_record_status(run))
        extension.extend(run, experiment)  # after the status, which a killed start leaves behind
        from imgcls.training import worker

        worker.train_run(run, experiment, store, split, stop, cluster)
    return summarize(run)


def _start_run(experiment: Experiment, folder: Path | None) -> Run:
    """Create a run, after checking that the weights are there that it is to start from, and the
    run that it is to learn from.

    Raises:
        UserError, DataError: as `source.require` and `teacher.require`.
    """
    source.require(experiment.model)
    teacher.require(experiment.train.distillation)
    return create_run(experiment, folder)


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
    require_consistent(experiment.train.precision, os.environ)
    run = resume.find_run_to_continue(experiment, folder)
    if run and _is_complete(run, experiment):
        return
    with terminal.silence():
        store, split = resume.open_data(experiment, run, data)
    require_validation(experiment, split)
    with terminal.silence(), catch_signals(experiment.train.time_limit, started, epochs) as stop:
        from imgcls.training import worker

        worker.train_run(run or Run(folder), experiment, store, split, stop, cluster)


@contextlib.contextmanager
def _lock_and_check(run: Run, experiment: Experiment, store: Store, split: Split) -> Iterator[None]:
    """Lock the run, and check under the lock that its experiment and data are these.

    Remove it if a mistake in the experiment ends the block before the first checkpoint.
    """
    with run.lock():
        extension.require_continuable(run, experiment)
        resume.record_data(run, store, split)
        teacher.record(run, experiment.train.distillation)
        run.remove_leftovers()
        with remove_if_refused(run.folder, {*run.early_files, run.plan_file}):
            yield


def _is_complete(run: Run, experiment: Experiment) -> bool:
    is_finished = run.status.status == "finished" and run.model_file.exists()
    return is_finished and not extension.is_longer(run.experiment, experiment)


def _report_complete(run: Run) -> dict[str, Any]:
    terminal.note(f"{run.folder} is finished; there is nothing to train")
    _repair_log(run)
    return summarize(run)


def _repair_log(run: Run) -> None:
    """Restore the log of a finished run from its checkpoint, if it is missing, damaged or short.

    Raises:
        DataError: the run has no intact checkpoint.
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
    """Return the summary of a finished run.

    Its `last` is None if the last epoch is selected, and its `soup` unless that is asked for; the
    selected epoch is then the one that the soup begins with.
    """
    epochs = run.log
    selected, last = history.get_selected_epoch(epochs, run.experiment.train), epochs[-1]
    description = read_description(run.model_file)
    calibration, soup = description.calibration, description.soup
    return {
        "run": str(run.folder),
        "status": run.status.status,
        "epochs": last.epoch,
        "selected": _get_results(selected),
        "last": None if last == selected else _get_results(last),
        "soup": soup.model_dump() if soup else None,
        "temperature": calibration.temperature,
        "calibration": calibration.describe(),
        "seconds": sum(epoch.seconds for epoch in epochs),
        "speed": history.describe_bottleneck(epochs),
        "model": str(run.model_file),
    }


def _get_results(epoch: EpochLog) -> dict[str, Any]:
    return epoch.model_dump(include={"epoch", *history.RESULTS})


_RESULTS = ("selected", "last", "soup")
"""The keys of a summary that are rows of the table of results."""


def format_summary(summary: Mapping[str, Any]) -> str:
    """Return a summary as text, with the results of the epochs in a table below."""
    rows = [{"results": name, **summary[name]} for name in ("selected", "last") if summary[name]]
    if soup := summary["soup"]:
        epochs = "+".join(map(str, soup["epochs"]))
        rows.append({**dict.fromkeys(rows[0]), "results": "soup", **soup, "epoch": epochs})
        del rows[-1]["epochs"]
    others = {name: value for name, value in summary.items() if name not in _RESULTS}
    return f"{format_pairs(others)}\n\n{format_table(rows)}"


def require_validation(experiment: Experiment, split: Split) -> None:
    """Check that there is a validation split if a setting needs one.

    Raises:
        UserError: there is none.
    """
    settings = experiment.train
    needed = {
        f"select_weights: {settings.select_weights}": settings.select_weights != "last",
        "early_stopping": settings.early_stopping,
        "plateau": settings.plateau,
    }
    names = [name for name, is_set in needed.items() if is_set]
    if names and not len(split.validation):
        raise UserError(
            f"the validation split is empty, but train.{' and train.'.join(names)}"
            f" need{'s' if len(names) == 1 else ''} one; set data.validation above 0, or change"
            f" {'this setting' if len(names) == 1 else 'these settings'}"
        )


@contextlib.contextmanager
def _record_status(run: Run) -> Iterator[None]:
    """Write how the block starts and ends to status.json."""
    run.write_status("running", **_read_progress(run))
    try:
        yield
    except BaseException as error:
        state = "interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "failed"
        divergence = error.details if isinstance(error, DivergenceError) else None
        reason = str(error) or type(error).__name__
        try:
            run.write_status(
                state,
                **_read_progress(run),
                divergence=divergence,
                exit_code=get_exit_code(error),
                reason=reason,
            )
        except UserError as second:
            error.add_note(str(second))
        raise
    run.write_status("finished", **_read_progress(run), exit_code=0)


def _read_progress(run: Run) -> dict[str, Any]:
    """Return the fields of status.json about the training's progress."""
    return run.status.model_dump(include={"step", "retries", "accumulation_steps"})
