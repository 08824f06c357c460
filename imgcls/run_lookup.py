"""Finding runs: the one that a command line names, those of an experiment, or all. Light zone."""

import os
from pathlib import Path

from imgcls.config import Experiment
from imgcls.errors import DataError, UserError
from imgcls.experiment_file import read_experiment
from imgcls.io import terminal
from imgcls.run import RUNS, Run


def open_run(folder: Path) -> Run:
    """Return the run in a folder.

    Raises:
        UserError: the folder does not exist or holds no run.
    """
    run = Run(folder)
    if not os.path.lexists(run.config_file):
        state = "holds no config.yaml" if folder.is_dir() else "does not exist"
        raise UserError(
            f"{folder} is not a run: it {state}; give a run folder such as runs/digits/1, or an"
            " experiment file"
        )
    return run


def find_runs(name: str) -> list[Run]:
    """Return the numbered runs of an experiment, oldest first."""
    folders = [
        path
        for path in (RUNS / name).glob("*")
        if path.name.isdecimal() and Run(path).config_file.is_file()
    ]
    return [Run(path) for path in sorted(folders, key=lambda path: int(path.name))]


def find_run(target: Path, overrides: list[str]) -> tuple[Run, Experiment]:
    """Return the finished run that a command line names, and the experiment that says how it is
    evaluated and drawn.

    Args:
        target: a run folder, or an experiment file for the newest finished run that was trained as
            the file says.
        overrides: `a.b=value`, for what is decided after training: metrics, figures, where
            the stores are.

    Raises:
        UserError: there is no such run, the experiment is wrong, or an override changes what was
            trained.
        DataError: the run is not finished.
    """
    if not target.is_dir():
        experiment = read_experiment(target, overrides)
        return _find_newest_finished(experiment, target), experiment
    run = open_run(target)
    state = run.status.status
    if state != "finished":
        raise DataError(
            f"{target} is {state}, not finished; run `imgcls train {run.config_file}"
            f" --run {target}` first"
        )
    own = run.experiment
    experiment = read_experiment(run.config_file, overrides)
    if experiment.identity() != own.identity():
        raise UserError(
            f"--set cannot change what {target} was trained with; set evaluate, figures or"
            " data.store_dir, or train a new run"
        )
    return run, experiment


def _find_newest_finished(experiment: Experiment, target: Path) -> Run:
    finished = [
        (run, found)
        for run in find_runs(experiment.name)
        if (found := read_if_possible(run)) and run.status.status == "finished"
    ]
    matching = [run for run, found in finished if found.identity() == experiment.identity()]
    if not matching:
        others = (
            f" (its {len(finished)} finished runs had other settings; name one's folder to use it)"
            if finished
            else ""
        )
        raise DataError(
            f"{RUNS / experiment.name} holds no finished run of {target} as it stands{others}; run"
            f" `imgcls train {target}` first"
        )
    return matching[-1]


def read_if_possible(run: Run) -> Experiment | None:
    """Return the experiment of a run; None, with a note, where the run is damaged or of another
    format.
    """
    with terminal.note_unusable():
        _ = run.status  # raises if it is damaged
        return run.experiment
    return None


def find_all_runs() -> list[Run]:
    """Return every run below runs/, named or numbered."""
    return [Run(path.parent) for path in RUNS.rglob(Run(RUNS).config_file.name)]
