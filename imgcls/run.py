"""Run folders: the only module that builds paths to their files. Light zone."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imgcls.compression.record import Compression, read_compression
from imgcls.config import Experiment
from imgcls.environment import Environment
from imgcls.errors import UserError
from imgcls.experiment_file import read_trained_experiment
from imgcls.io import files
from imgcls.io.records import read_record, read_records, write_record
from imgcls.result_folder import ResultFolder
from imgcls.store.manifest import DataDescription
from imgcls.training.history import EpochLog
from imgcls.training.reproduction import Reproduction
from imgcls.training.status import Status

RUNS = Path("runs")
_RESTORE = "restore it from a backup, or train a new run"
"""What to do about a damaged file that only training can write."""


@dataclass(frozen=True)
class Run(ResultFolder):
    """A run folder, with the paths and contents of its files; docs/files.md describes them."""

    @property
    def config_file(self) -> Path:
        """The experiment with all defaults."""
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
        """State of the run: created, running, interrupted, failed or finished."""
        return self.folder / "status.json"

    @property
    def reproduction_file(self) -> Path:
        """What the run is a reproduction of; other runs have no such file."""
        return self.folder / "reproduction.json"

    @property
    def weights_file(self) -> Path:
        """The weights that the run started from; other runs have no such file."""
        return self.folder / "weights.json"

    @property
    def teacher_file(self) -> Path:
        """The teacher of a run with `train.distillation`; other runs have no such file."""
        return self.folder / "teacher.json"

    @property
    def plan_file(self) -> Path:
        """The plan of a run with `train.budget`; other runs have no such file."""
        return self.folder / "plan.json"

    @property
    def linear_probe_file(self) -> Path:
        """How the last dense layer was fitted before training, with `train.head_init`."""
        return self.folder / "linear_probe.json"

    @property
    def log_file(self) -> Path:
        """One JSON object per epoch."""
        return self.folder / "log.jsonl"

    @property
    def checkpoint_folder(self) -> Path:
        """The last two checkpoints, and the weights of the best epochs."""
        return self.folder / "checkpoint"

    @property
    def model_file(self) -> Path:
        """The selected model, written by rename; a LiteRT file, if it was compressed to one."""
        return self.litert_file if os.path.lexists(self.litert_file) else self.keras_file

    @property
    def keras_file(self) -> Path:
        """The model in Keras's format, which training writes."""
        return self.folder / "model.keras"

    @property
    def litert_file(self) -> Path:
        """The model of a run that was compressed to LiteRT; other runs have no such file."""
        return self.folder / "compressed.tflite"

    @property
    def network_file(self) -> Path:
        """The network that a compression trains; other runs build theirs from `model`."""
        return self.folder / "network.keras"

    def find_network(self) -> Path | None:
        """Return `network_file`; None if the run has none."""
        return self.network_file if os.path.lexists(self.network_file) else None

    @property
    def compression_file(self) -> Path:
        """What the run was compressed from, and how; other runs have no such file."""
        return self.folder / "compression.json"

    @property
    def compression_table_file(self) -> Path:
        """How a compressed run differs from its original."""
        return self.folder / "compression_table.json"

    def training_folder(self, method: int, number: int) -> Path:
        """A training of a method of compression, a run that is removed at the end."""
        return self.folder / f".training-{method}-{number}"

    @property
    def sample_file(self) -> Path:
        """Some validation images as the model sees them, for exports when the data is gone."""
        return self.folder / "sample.npz"

    @property
    def exports_folder(self) -> Path:
        """A folder for each exported format, as `imgcls.export.folder` describes."""
        return self.folder / "exports"

    def state_file(self, step: int) -> Path:
        """The checkpoint after a step."""
        return self.checkpoint_folder / f"state-{step}.npz"

    def state_files(self) -> list[Path]:
        """The checkpoints, newest first."""
        paths = self.checkpoint_folder.glob("state-*.npz")
        states = [path for path in paths if path.stem.removeprefix("state-").isdecimal()]
        return sorted(states, key=self.get_step, reverse=True)

    def get_step(self, state: Path) -> int:
        """Return the step after which a checkpoint was saved."""
        return int(state.stem.removeprefix("state-"))

    def best_weights_file(self, epoch: int) -> Path:
        """The weights after an epoch, which was among the best so far."""
        return self.checkpoint_folder / f"best-{epoch}.npz"

    def best_weights_files(self) -> list[Path]:
        """The saved weights of the best epochs."""
        return list(self.checkpoint_folder.glob("best-*.npz"))

    @property
    def accumulation_steps_file(self) -> Path:
        """Accumulation steps for the next start, requested by a worker that ran out of memory."""
        return self.checkpoint_folder / "accumulation_steps.json"

    @property
    def experiment(self) -> Experiment:
        """The experiment of this run.

        Raises:
            DataError: config.yaml is damaged.
        """
        return read_trained_experiment(self.config_file, _RESTORE)

    @property
    def status(self) -> Status:
        """The state of the run.

        Raises:
            FormatError: another version of imgcls wrote the run.
            DataError: status.json is damaged.
        """
        old_format_advice = "continue it with the imgcls that wrote it, or train a new run"
        return read_record(self.status_file, Status, _RESTORE, old_format_advice)

    def require_format(self) -> None:
        """Check the format of the run before its other files are read; raises as `status` does."""
        _ = self.status

    @property
    def data(self) -> DataDescription:
        """The training data.

        Raises:
            DataError: data.json is damaged.
        """
        return read_record(self.data_file, DataDescription, _RESTORE)

    @property
    def environment(self) -> Environment:
        """Versions, devices, command, commit and host.

        Raises:
            DataError: environment.json is damaged.
        """
        advice = "delete it to continue without the record of earlier starts"
        return read_record(self.environment_file, Environment, advice)

    @property
    def is_reproduction(self) -> bool:
        """Whether the run is a reproduction of another; the file may be damaged."""
        return os.path.lexists(self.reproduction_file)

    @property
    def reproduction(self) -> Reproduction | None:
        """What the run is a reproduction of; None if it is none.

        Raises:
            DataError: reproduction.json is damaged.
        """
        if not self.is_reproduction:
            return None
        advice = "delete it to count the run as one that `imgcls train` started"
        return read_record(self.reproduction_file, Reproduction, advice)

    @property
    def is_compressed(self) -> bool:
        """Whether the run was compressed from another; the file may be damaged."""
        return os.path.lexists(self.compression_file)

    @property
    def compression(self) -> Compression | None:
        """What the run was compressed from, and how; None if it was trained.

        Raises:
            DataError: compression.json is damaged.
        """
        if not self.is_compressed:
            return None
        return read_compression(self.compression_file)

    @property
    def log(self) -> list[EpochLog]:
        """The log of the epochs so far.

        Raises:
            DataError: log.jsonl is damaged.
        """
        if not os.path.lexists(self.log_file):
            return []
        advice = "run the training command again, which restores it from the last checkpoint"
        return read_records(self.log_file, EpochLog, advice)

    def write_status(self, status: str, **details: Any) -> None:
        """Write status.json.

        Args:
            details: other fields of `Status`; by default those of a run without any step.
        """
        defaults = {"step": 0, "retries": [], "accumulation_steps": 1, "divergence": None}
        fields = {"format": Status.FORMAT, "status": status, "exit_code": None, "reason": ""}
        write_record(self.status_file, Status.model_validate(fields | defaults | details))

    @property
    def early_files(self) -> set[Path]:
        """The files that are written before the first checkpoint, but for the plan."""
        first = {self.status_file, self.config_file, self.data_file, self.environment_file}
        others = {self.weights_file, self.linear_probe_file, self.network_file, self.teacher_file}
        return first | others | {self.reproduction_file}

    def can_be_recreated(self) -> bool:
        """Tell whether the folder has no files but `early_files`."""
        return self.folder.is_dir() and all(
            path in self.early_files or path.name.startswith(".") for path in self.folder.iterdir()
        )

    def remove_leftovers(self) -> None:
        """Remove the temporary files of a killed process; the caller must hold the lock."""
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
                f"another process trains in {self.folder}; wait for its end, or give another --run"
            ) from None
        try:
            yield
        finally:
            file_lock.release()
