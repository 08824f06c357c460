"""The run folder: the one place that builds a path in it. Light zone."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imgcls.config import Experiment
from imgcls.environment import Environment
from imgcls.errors import UserError
from imgcls.evaluation.summary import Evaluation
from imgcls.experiment_file import read_experiment
from imgcls.io import files
from imgcls.io.records import DataFile, read_record, read_records, write_record
from imgcls.store.manifest import DataDescription
from imgcls.training.history import EpochLog
from imgcls.training.status import Status

RUNS = Path("runs")
_RESTORE = "bring it back from a copy, or train a new run"
"""What to do about a file that only the training could write."""


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
        """The experiment that this run resolved.

        Raises:
            DataError: config.yaml is damaged.
        """
        file = DataFile(self.config_file, _RESTORE)
        file.read_bytes()
        try:
            return read_experiment(self.config_file)
        except UserError as error:
            problem = str(error).splitlines()[0]
            raise file.make_damage_error(problem) from None

    @property
    def status(self) -> Status:
        """How far the run came.

        Raises:
            FormatError: another version of imgcls wrote the run.
            DataError: status.json is damaged.
        """
        outdated = "go on with the imgcls that wrote it, or train a new run"
        return read_record(self.status_file, Status, _RESTORE, outdated)

    def require_format(self) -> None:
        """Refuse a run of another version of imgcls, before its other files are read; raises as
        `status` does.
        """
        _ = self.status

    @property
    def data(self) -> DataDescription:
        """The data that the run is trained on.

        Raises:
            DataError: data.json is damaged.
        """
        return read_record(self.data_file, DataDescription, _RESTORE)

    @property
    def environment(self) -> Environment:
        """What the run was made with.

        Raises:
            DataError: environment.json is damaged.
        """
        advice = "delete it to go on without what it says of earlier starts"
        return read_record(self.environment_file, Environment, advice)

    @property
    def log(self) -> list[EpochLog]:
        """The epochs so far.

        Raises:
            DataError: log.jsonl is damaged.
        """
        if not os.path.lexists(self.log_file):
            return []
        advice = "run the training command again, which writes it anew from the last saved state"
        return read_records(self.log_file, EpochLog, advice)

    def read_evaluation(self, split: str) -> Evaluation:
        """Return the metrics of a split.

        Raises:
            DataError: metrics.json is missing or damaged.
        """
        return read_record(self.metrics_file(split), Evaluation, self.advise_evaluation(split))

    def advise_evaluation(self, split: str) -> str:
        """Return what to do where the files of an evaluation are damaged."""
        return f"run `imgcls eval {self.folder} --split {split}` again"

    def write_status(self, status: str, **details: Any) -> None:
        """Replace status.json.

        Args:
            details: other fields of `Status`; those left out say that nothing was done yet.
        """
        start = {"step": 0, "retries": [], "accumulation_steps": 1, "divergence": None}
        write_record(
            self.status_file,
            Status.model_validate(
                {
                    "format": Status.FORMAT,
                    "status": status,
                    **start,
                    "exit_code": None,
                    "reason": "",
                    **details,
                }
            ),
        )

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
    def lock(self) -> Iterator[None]:
        """Hold the run's lock; the system releases it when the process ends in any way.

        Raises:
            UserError: another process holds it.
        """
        file_lock = FileLock(self.folder / ".lock", blocking=False, fallback_to_soft=False)
        try:
            with files.explain_errors(self.folder):
                file_lock.acquire()
        except Timeout:
            raise UserError(
                f"another process trains in {self.folder}; wait until it ends, or choose another"
                " folder with --run"
            ) from None
        try:
            yield
        finally:
            file_lock.release()


def create_run(experiment: Experiment, folder: Path | None = None) -> Run:
    """Create a run folder, `runs/<name>/<next number>` unless `folder` names one, with its
    config.yaml and status.
    """
    with files.explain_errors(folder or RUNS):
        run = Run(folder or _make_next_folder(RUNS / experiment.name))
        run.folder.mkdir(parents=True, exist_ok=True)
    with run.lock():
        if run.can_be_recreated():
            run.data_file.unlink(missing_ok=True)
            run.write_status("created")
            files.write_text(run.config_file, experiment.to_yaml())
    return run


def _make_next_folder(parent: Path) -> Path:
    """Make the folder with the next free number; two processes never get the same one."""
    parent.mkdir(parents=True, exist_ok=True)
    number = (
        max((int(path.name) for path in parent.iterdir() if path.name.isdecimal()), default=0) + 1
    )
    while True:
        try:
            (parent / str(number)).mkdir()
            return parent / str(number)
        except FileExistsError:
            number += 1
