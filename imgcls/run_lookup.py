"""Finding runs: one given on the command line, those of an experiment, or all. Light zone."""

import json
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from imgcls.config import Experiment
from imgcls.errors import DataError, DivergenceError, UserError
from imgcls.experiment_file import flatten, read_experiment
from imgcls.family import Family, find_families, is_family
from imgcls.io import numbered_folders, terminal
from imgcls.run import RUNS, Run

_FINISHED = "finished"
"""What a run is to an experiment if it can stand for it."""


def open_run(folder: Path) -> Run:
    """Return the run in a folder.

    Raises:
        UserError: the folder does not exist, or is not a run.
    """
    run = Run(folder)
    if not os.path.lexists(run.config_file):
        reason = "has no config.yaml" if folder.is_dir() else "does not exist"
        raise UserError(
            f"{folder} is not a run: it {reason}; give a run folder such as runs/digits/1, or an"
            " experiment file"
        )
    return run


def find_runs(name: str) -> list[Run]:
    """Return the numbered runs of an experiment, oldest first."""
    runs = map(Run, numbered_folders.list_numbered(RUNS / name))
    return [run for run in runs if run.config_file.is_file()]


def find_originals(name: str) -> list[Run]:
    """Return the numbered runs of an experiment that are not reproductions, oldest first."""
    return [run for run in find_runs(name) if not run.is_reproduction]


def find_run_or_family(
    target: Path, overrides: Sequence[str] = ()
) -> tuple[Run | Family, Experiment]:
    """Return a finished run or family, and the experiment for its evaluation and figures.

    Args:
        target: the folder of a run or family; or an experiment file, for its newest finished run
            with the same training settings, other than a reproduction, or without one, its newest
            finished family. A note says which that is, and why.
        overrides: `a.b=value`, for settings that do not affect training: metrics, figures,
            `data.store_dir`.

    Raises:
        UserError: there is no such run, the experiment is wrong, or an override affects training.
        DataError: the run, or a run of the family, is not finished.
    """
    if target.is_dir():
        return open_run_or_family(target, overrides)
    experiment = read_experiment(target, overrides)
    return _find_newest_finished(experiment, target), experiment


def open_run_or_family(
    folder: Path, overrides: Sequence[str] = ()
) -> tuple[Run | Family, Experiment]:
    """Return what `find_run_or_family` does, of a folder only; raises as it does."""
    if is_family(folder):
        return open_family(folder, overrides)
    return open_finished_run(folder, overrides)


def open_finished_run(folder: Path, overrides: Sequence[str] = ()) -> tuple[Run, Experiment]:
    """Return what `find_run_or_family` does, of the folder of a run; raises as it does."""
    run = open_run(folder)
    require_finished(run)
    return run, _read_with_overrides(run.config_file, run.experiment, overrides)


def open_family(folder: Path, overrides: Sequence[str] = ()) -> tuple[Family, Experiment]:
    """Return the family in a folder, and the experiment for its evaluation and figures.

    Raises:
        UserError: an override is wrong, or affects training.
        DataError: a run of the family is not finished.
    """
    family = Family(folder)
    family.require_finished()
    return family, _read_with_overrides(family.experiment_file, family.experiment, overrides)


def find_run_to_predict(target: Path, overrides: Sequence[str] = ()) -> tuple[Run, Experiment]:
    """Return the run whose model predicts, and its experiment.

    Args:
        target: the folder of a run, finished or not; or an experiment file, for its newest finished
            run, as `find_run_or_family` takes it.
        overrides: as for `find_run_or_family`.

    Raises:
        UserError: there is no such run, it is a family, the experiment is wrong, or an override
            affects training.
        DataError: no run is finished, or another version of imgcls wrote the run.
    """
    if target.is_dir() and not is_family(target):
        run = open_run(target)
        run.require_format()
        return run, _read_with_overrides(run.config_file, run.experiment, overrides)
    found, experiment = find_run_or_family(target, overrides)
    if isinstance(found, Family):
        runs = terminal.format_some([str(run.folder) for run in found.runs], 5)
        raise UserError(f"{found.folder} is a family of runs; give the folder of one: {runs}")
    return found, experiment


def find_run_to_plot(
    target: Path, overrides: Sequence[str] = ()
) -> tuple[Run | Family, Experiment]:
    """Return what `find_run_or_family` does, but a run in a folder need not be finished; raises as
    it does.
    """
    if not target.is_dir() or is_family(target):
        return find_run_or_family(target, overrides)
    run = open_run(target)
    if run.status.status != _FINISHED:
        terminal.note(f"{run.folder} is {run.status.status}: figures show the epochs so far")
    return run, _read_with_overrides(run.config_file, run.experiment, overrides)


def expand_families(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of runs, with those of its runs in the place of each family."""
    return [
        each
        for folder in folders
        for each in ([run.folder for run in Family(folder).runs] if is_family(folder) else [folder])
    ]


def _read_with_overrides(file: Path, trained: Experiment, overrides: Sequence[str]) -> Experiment:
    """Return a trained experiment with other settings for its evaluation and figures.

    Args:
        file: the experiment's file in the folder of a run or family.
        trained: its content.

    Raises:
        UserError: an override is wrong, or affects training.
    """
    experiment = read_experiment(file, overrides)
    if experiment.identity() != trained.identity():
        raise UserError(
            f"--set cannot change how {file.parent} was trained; set evaluate, figures, explain,"
            " compress or data.store_dir, or train a new run"
        )
    return experiment


def require_finished(run: Run) -> None:
    """Check that a run is finished.

    Raises:
        DataError: it is not, or another version of imgcls wrote it.
    """
    status = run.status
    if status.status == "failed" and status.exit_code == DivergenceError.exit_code:
        raise DataError(
            f"{run.folder} is not finished: its training diverged, and would again; give another"
            " run, or train one with a lower learning rate or train.on_divergence"
        )
    if status.status != "finished":
        raise DataError(
            f"{run.folder} is {status.status}, not finished; run `{format_command(run)}` first"
        )


def format_command(run: Run) -> str:
    """Return the command that continues what makes a run, as it is typed in a shell.

    Raises:
        DataError: compression.json is damaged.
    """
    made = run.compression
    if made is None:
        return f"imgcls train {run.config_file} --run {run.folder}"
    options = [option for step in made.steps for option in ("--method", str(step.settings["name"]))]
    return shlex.join(["imgcls", "compress", made.original, *options, "--run", str(run.folder)])


def _find_newest_finished(experiment: Experiment, target: Path) -> Run | Family:
    """Return the newest finished run of an experiment, or without one its newest finished family,
    with a note that says why it is the one.
    """
    runs, families = find_runs(experiment.name), _find_finished_families(experiment)
    kinds = [_classify(run, experiment) for run in runs]
    if _FINISHED not in kinds and families:
        terminal.note(
            f"{families[-1].folder} is the newest finished family with these settings; no single"
            " run with them is finished"
        )
        return families[-1]
    if _FINISHED not in kinds:
        offer = _offer_other(runs, kinds, experiment)
        others = (
            f" (other runs: {_count(kinds)}; give the folder of a finished one to use it)"
            if kinds
            else ""
        )
        raise DataError(
            f"{RUNS / experiment.name} has no finished run with the settings of {target}{others};"
            f" run `imgcls train {target}` first{offer}"
        )
    newest = max(i for i, kind in enumerate(kinds) if kind == _FINISHED)
    count = kinds.count(_FINISHED)
    reason = "the only finished run" if count == 1 else f"the newest of {count} finished runs"
    newer = kinds[newest + 1 :]
    passed_over = f"; newer runs passed over: {_count(newer)}" if newer else ""
    beside = f"; there is also the family {families[-1].folder}" if families else ""
    terminal.note(f"{runs[newest].folder} is {reason} with these settings{passed_over}{beside}")
    return runs[newest]


def _offer_other(runs: list[Run], kinds: list[str], experiment: Experiment) -> str:
    """Return an offer of the newest finished run that differs in a few settings, which it names."""
    for run, kind in reversed(list(zip(runs, kinds, strict=True))):
        trained = try_read_experiment(run) if kind == "with other settings" else None
        if trained and run.status.status == "finished":
            there, here = flatten(trained.identity()), flatten(experiment.identity())
            keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
            options = [f"--set {key}={json.dumps(there[key])}" for key in keys if key in there]
            if len(options) == len(keys) <= 5:
                return f"; or give {run.folder}, which was trained with {' '.join(options)}"
    return ""


def _find_finished_families(experiment: Experiment) -> list[Family]:
    """Return the numbered families of an experiment whose runs are all finished, oldest first."""
    found = []
    for family in find_families(experiment.name):
        with terminal.note_unusable():
            same = family.experiment.identity() == experiment.identity()
            if same and family.count_finished() == len(family.runs):
                found.append(family)
    return found


def _classify(run: Run, experiment: Experiment) -> str:
    """Return what a run is to an experiment, in words that follow a number."""
    if run.is_reproduction:
        return "made by `reproduce`"
    trained = try_read_experiment(run)
    if trained is None:
        return "unreadable"
    if trained.identity() != experiment.identity():
        return "with other settings"
    return _FINISHED if run.status.status == "finished" else "unfinished"


def _count(kinds: Sequence[str]) -> str:
    """Return how many runs there are of each kind, such as "2 unfinished, 1 unreadable"."""
    return ", ".join(f"{number} {kind}" for kind, number in Counter(kinds).items())


def try_read_experiment(run: Run) -> Experiment | None:
    """Return the experiment of a run; None, with a note, if it is damaged or has another format."""
    with terminal.note_unusable():
        _ = run.status  # raises if it is damaged
        return run.experiment
    return None


def find_all_runs() -> list[Run]:
    """Return all runs below runs/, numbered or named, but not the hidden ones of dry runs."""
    runs = [Run(path.parent) for path in RUNS.rglob(Run(RUNS).config_file.name)]
    return [run for run in runs if not run.folder.name.startswith(".")]


def find_all_families() -> list[Family]:
    """Return all families below runs/, numbered or named."""
    return [Family(path.parent) for path in RUNS.rglob(Family(RUNS).record_file.name)]
