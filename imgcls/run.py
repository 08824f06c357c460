"""The run folder: the one place that builds a path in it. Light zone."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgcls.config import Experiment
from imgcls.errors import DataError, UserError
from imgcls.experiment_file import read_experiment
from imgcls.io import files

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """A run folder. Properties are paths or what the files hold; docs/files.md describes each
    file.
    """

    folder: Path

    @property
    def config_file(self) -> Path:
        """The resolved experiment."""
        return self.folder / "config.yaml"

    @property
    def environment_file(self) -> Path:
        """Versions, device, command, commit, seed, host."""
        return self.folder / "environment.json"

    @property
    def data_file(self) -> Path:
        """The store's fingerprint, classes and split sizes."""
        return self.folder / "data.json"

    @property
    def status_file(self) -> Path:
        """created, running, interrupted, failed or finished."""
        return self.folder / "status.json"

    @property
    def log_file(self) -> Path:
        """One JSON object an epoch."""
        return self.folder / "log.jsonl"

    @property
    def checkpoint_folder(self) -> Path:
        """The last two training states, and the best weights."""
        return self.folder / "checkpoint"

    @property
    def model_file(self) -> Path:
        """The chosen model; written by rename, so that where it exists it is whole."""
        return self.folder / "model.keras"

    def state_file(self, step: int) -> Path:
        """The complete training state after a step."""
        return self.checkpoint_folder / f"state-{step}.npz"

    def state_files(self) -> list[Path]:
        """The training states, newest first."""
        states = [
            path
            for path in self.checkpoint_folder.glob("state-*.npz")
            if path.stem.removeprefix("state-").isdecimal()
        ]
        return sorted(states, key=self.step_of, reverse=True)

    def step_of(self, state: Path) -> int:
        """The step after which a training state was saved."""
        return int(state.stem.removeprefix("state-"))

    def best_weights_file(self, epoch: int) -> Path:
        """The weights after an epoch that was the best so far."""
        return self.checkpoint_folder / f"best-{epoch}.npz"

    def best_weights_files(self) -> list[Path]:
        """The weights that are kept, of one or two epochs."""
        return list(self.checkpoint_folder.glob("best-*.npz"))

    @property
    def accumulation_steps_file(self) -> Path:
        """Into how many micro-batches a worker that ran out of memory wants to divide from the next
        start on.
        """
        return self.checkpoint_folder / "accumulation_steps.json"

    def predictions_file(self, split: str) -> Path:
        """Probabilities, labels and ids of a split."""
        return self.folder / "evaluation" / split / "predictions.npz"

    def metrics_file(self, split: str) -> Path:
        """All metrics of a split."""
        return self.folder / "evaluation" / split / "metrics.json"

    def report_file(self, split: str) -> Path:
        """The metrics as a text for people."""
        return self.folder / "evaluation" / split / "report.txt"

    def figure_file(self, name: str) -> Path:
        """A figure's picture."""
        return self.folder / "figures" / f"{name}.png"

    @property
    def report_page(self) -> Path:
        """One self-contained page with every figure and the metrics."""
        return self.folder / "figures" / "report.html"

    @property
    def experiment(self) -> Experiment:
        """The experiment that this run resolved."""
        return read_experiment(self.config_file)

    @property
    def status(self) -> dict[str, Any]:
        """The content of status.json."""
        return files.read_json(self.status_file)

    @property
    def data(self) -> dict[str, Any]:
        """The content of data.json."""
        return files.read_json(self.data_file)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The epochs so far."""
        if not self.log_file.exists():
            return []
        try:
            return [json.loads(line) for line in self.log_file.read_text().splitlines()]
        except json.JSONDecodeError as error:
            raise DataError(
                f"{self.log_file} is damaged ({error.msg}); run the training command again to write"
                " it anew"
            ) from None

    def write_status(self, state: str, **details: Any) -> None:
        """Replace status.json."""
        files.write_json(self.status_file, {"status": state, **details})

    def can_be_recreated(self) -> bool:
        """Tell whether the folder is empty, or holds no more than a run that ended before its first
        checkpoint left.
        """
        early = (self.status_file, self.config_file, self.data_file, self.environment_file)
        return self.folder.is_dir() and all(
            path in early or path.name.startswith(".") for path in self.folder.iterdir()
        )

    def remove_leftovers(self) -> None:
        """Remove the temporary files of a process that was killed; call it with the lock held."""
        for folder in (self.folder, self.checkpoint_folder):
            for path in [*folder.glob(".*.tmp"), *folder.glob(".model-*")]:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's lock, which the system releases when the process ends, however it ends.

        Raises:
            UserError: another process holds it.
        """
        with files.explain_errors(self.folder):
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UserError(
                f"another process trains in {self.folder}; wait until it ends, or choose another"
                " folder with --run"
            ) from None
        try:
            yield
        finally:
            os.close(descriptor)


def open_run(folder: Path) -> Run:
    """Return the run in a folder.

    Raises:
        UserError: the folder does not exist or holds no run.
    """
    run = Run(folder)
    if not run.config_file.is_file():
        state = "holds no config.yaml" if folder.is_dir() else "does not exist"
        raise UserError(
            f"{folder} is not a run: it {state}; give a run folder such as runs/digits/1, or an"
            " experiment file"
        )
    return run


def create_run(experiment: Experiment, folder: Path | None = None) -> Run:
    """Create a run folder, `runs/<name>/<next number>` unless `folder` names one, with its
    config.yaml and status.
    """
    with files.explain_errors(folder or RUNS):
        run = Run(folder or _make_next_folder(RUNS / experiment.name))
        run.folder.mkdir(parents=True, exist_ok=True)
    with run.locked():
        if run.can_be_recreated():
            run.data_file.unlink(missing_ok=True)
            run.write_status("created")
            files.write_text(run.config_file, experiment.to_yaml())
    return run


def _make_next_folder(parent: Path) -> Path:
    """Make the folder with the next free number; two processes never get the same one."""
    parent.mkdir(parents=True, exist_ok=True)
    number = (
        max((int(path.name) for path in parent.iterdir() if path.name.isdigit()), default=0) + 1
    )
    while True:
        try:
            (parent / str(number)).mkdir()
            return parent / str(number)
        except FileExistsError:
            number += 1


def find_runs(name: str) -> list[Run]:
    """Return the numbered runs of an experiment, oldest first."""
    folders = [
        path
        for path in (RUNS / name).glob("*")
        if path.name.isdigit() and (path / "config.yaml").is_file()
    ]
    return [Run(path) for path in sorted(folders, key=lambda path: int(path.name))]


def find_run(target: Path, overrides: list[str]) -> tuple[Run, Experiment]:
    """Return the finished run that a command line names, and the experiment that says how it is
    judged and drawn.

    Args:
        target: a run folder, or an experiment file for the newest finished run that was trained as
            the file says.
        overrides: `a.b=value`, for what is decided after training: metrics, figures, the place of
            the stores.

    Raises:
        UserError: there is no such run, the experiment is wrong, or an override changes what was
            trained.
        DataError: the run is not finished.
    """
    if not target.is_dir():
        experiment = read_experiment(target, overrides)
        return _find_newest_finished(experiment, target), experiment
    run = open_run(target)
    if run.status["status"] != "finished":
        raise DataError(
            f"{target} is {run.status['status']}, not finished; run `imgcls train {run.config_file}"
            f" --run {target}` first"
        )
    experiment = read_experiment(run.config_file, overrides)
    if experiment.identity() != run.experiment.identity():
        raise UserError(
            f"--set cannot change what {target} was trained with; set evaluate, figures or"
            " data.store_dir, or train a new run"
        )
    return run, experiment


def _find_newest_finished(experiment: Experiment, target: Path) -> Run:
    finished = [run for run in find_runs(experiment.name) if run.status["status"] == "finished"]
    matching = [run for run in finished if run.experiment.identity() == experiment.identity()]
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


def find_all_runs() -> list[Run]:
    """Return every run below runs/, named or numbered."""
    return [Run(path.parent) for path in RUNS.rglob("config.yaml")]
