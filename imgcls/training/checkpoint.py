"""The training state on disk: every variable that training changes, and the counters around them,
in one file. Heavy zone.

`save_weights` and `tf.train.Checkpoint` leave out the dropout seed states; `model.variables` holds
them.
"""

import hashlib
import io
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy

from imgcls.backend import keras
from imgcls.config import Checkpoint as CheckpointSettings
from imgcls.config import Train
from imgcls.errors import DataError
from imgcls.io import files, terminal
from imgcls.run import Run
from imgcls.training import history, steps

HEADER = "header"


class CorruptError(DataError):
    """A checkpoint is torn or corrupt. Exit status 3."""

    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"{path} is damaged ({reason}); delete the folder {path.parent} to train this run from"
            " its start"
        )
        self.path = path
        self.reason = reason


@dataclass
class Counters:
    """The part of the training state that is not in variables; saved with every checkpoint.

    Attributes:
        step: steps done, over all epochs.
        sums: over the steps of the present epoch (see steps.py).
        stages: the seconds that each stage of the present epoch took so far.
        epochs: the log so far.
        accumulation_steps: how many micro-batches each device works on one after the other for a
            step.
        retries: for each time that training diverged and went on from here with a lower learning
            rate, where that was.
    """

    step: int = 0
    sums: list[float] = field(default_factory=lambda: steps.make_zero_sums().tolist())
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(history.STAGES, 0.0))
    epochs: list[dict[str, Any]] = field(default_factory=list)
    accumulation_steps: int = 1
    retries: list[dict[str, Any]] = field(default_factory=list)

    def add(self, stage: str, start: float) -> float:
        """Add to a stage the seconds since `start`, a time of `time.perf_counter`; return them."""
        seconds = time.perf_counter() - start
        self.stages[stage] += seconds
        return seconds

    def end_epoch(
        self, val_loss: float | None, val_accuracy: float | None, learning_rate: float
    ) -> None:
        """Add the present epoch to the log, and start the sums and times of the next one."""
        sums, seconds = self.sums, self.stages["steps"]
        entry = {
            "epoch": len(self.epochs) + 1,
            "step": self.step,
            "loss": sums[steps.LOSS] / sums[steps.COUNT],
            "accuracy": sums[steps.CORRECT] / sums[steps.COUNT],
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "learning_rate": learning_rate,
            "seconds": sum(self.stages[name] for name in history.FOREGROUND),
            "images_per_second": sums[steps.COUNT] / seconds,
            "input_wait": min(sums[steps.WAIT] / seconds, 1.0),
            "stage_seconds": dict(self.stages),
        }
        self.epochs.append(entry)
        self.sums = steps.make_zero_sums().tolist()
        self.stages.update(dict.fromkeys(self.stages, 0.0))


class SavePlan:
    """When the state is saved in the middle of an epoch."""

    def __init__(self, settings: CheckpointSettings):
        self._every = settings.steps
        self._seconds = None if settings.minutes is None else 60 * settings.minutes
        self._last = time.monotonic()

    def mark_saved(self) -> None:
        """Start to wait anew."""
        self._last = time.monotonic()

    def steps_left(self, step: int) -> float:
        """Return how many steps there are after `step` until a step at which to save."""
        return self._every - step % self._every if self._every else math.inf

    def is_due(self, step: int) -> bool:
        """Tell whether to save after `step` steps, now."""
        by_time = self._seconds is not None and time.monotonic() - self._last >= self._seconds
        return by_time or (self._every is not None and step % self._every == 0)


class Checkpoints:
    """A run's last two training states, and the best weights that either of them may still choose.

    Args:
        others: the variables of the training state that are not the model's.
    """

    def __init__(
        self,
        run: Run,
        settings: Train,
        model: keras.Model,
        others: list[keras.Variable],
        steps_per_epoch: int,
    ):
        self._run = run
        self._settings = settings
        self._model = model
        self._variables = [*model.variables, *others]
        self._steps_per_epoch = steps_per_epoch

    def restore(self) -> Counters | None:
        """Load the newest state that is whole, and delete newer ones that are not; return its
        counters, or None if there is no state.

        Raises:
            DamagedError: there are states, but none is whole; it names the oldest.
            DataError: the states were written for other variables.
        """
        damaged: list[CorruptError] = []
        for path in self._run.state_files():
            try:
                counters = Counters(**load(path, self._variables))
            except CorruptError as error:
                damaged.append(error)
                terminal.note(f"{path} is damaged ({error.reason}); looking for the one before it")
                continue
            for error in damaged:
                error.path.unlink()
            if damaged:
                terminal.note(f"continuing from {path}, at step {counters.step}")
            return counters
        if damaged:
            raise damaged[-1]
        return None

    def load_state(self, step: int) -> Counters:
        """Load the state after a step, which another process has found whole; return its counters.

        Raises:
            DataError: the state is not there, or not whole.
        """
        return Counters(**load(self._run.state_file(step), self._variables))

    def save(self, counters: Counters) -> None:
        """Write the state, and delete what neither it nor the one before it needs."""
        save(self._run.state_file(counters.step), self._variables, asdict(counters))
        kept = self._run.state_files()[:2]
        for path in self._run.state_files()[2:]:
            path.unlink()
        needed = {
            self._get_best_weights_file(
                counters.epochs[: self._run.step_of(path) // self._steps_per_epoch]
            )
            for path in kept
        }
        for path in self._run.best_weights_files():
            if path not in needed:
                path.unlink()

    def save_best(self, epochs: history.Epochs) -> None:
        """Keep the weights if the last epoch is the best so far; the state that refers to them is
        written after them.
        """
        if self._get_best_weights_file(epochs) == self._run.best_weights_file(len(epochs)):
            save(self._run.best_weights_file(len(epochs)), self._model.variables, {})

    def load_selected(self, epochs: history.Epochs) -> None:
        """Give the model the weights that `train.select_weights` names.

        Raises:
            DamagedError: their file is torn or corrupt.
        """
        best = self._get_best_weights_file(epochs)
        if best is not None:
            load(best, self._model.variables)

    def _get_best_weights_file(self, epochs: history.Epochs) -> Path | None:
        """Return the file with the best epoch's weights; None before the first epoch, and where the
        last epoch is chosen.
        """
        if self._settings.select_weights != "best" or not epochs:
            return None
        return self._run.best_weights_file(history.best_epoch(epochs, self._settings.monitor))


def save(path: Path, variables: list[keras.Variable], counters: dict[str, Any]) -> None:
    """Write variables and counters to one .npz file with a SHA-256 of them all, which replaces the
    last one as a whole.

    Args:
        counters: a JSON object.
    """
    arrays = {f"{number:05d}": variable.value.numpy() for number, variable in enumerate(variables)}
    header = {
        "counters": counters,
        "paths": [variable.path for variable in variables],
        "sha256": _compute_digest(arrays, counters),
    }
    text = json.dumps(header, allow_nan=False)
    with files.replace_file(path) as stream:
        numpy.savez(stream, **arrays, **{HEADER: numpy.frombuffer(text.encode(), numpy.uint8)})


def load(path: Path, variables: list[keras.Variable]) -> dict[str, Any]:
    """Assign what `save` wrote to variables that are already built; return the counters.

    Raises:
        DamagedError: the file is torn or corrupt.
        DataError: it cannot be read, or was written for other variables.
    """
    try:
        content = io.BytesIO(path.read_bytes())
    except OSError as error:  # no damaged file, which would be deleted
        raise DataError(
            f"cannot read {path}: {error.strerror}; repair that, and run the same command again"
        ) from None
    try:
        with numpy.load(content, allow_pickle=False) as archive:
            header = json.loads(archive[HEADER].tobytes())
            arrays = {
                f"{number:05d}": archive[f"{number:05d}"] for number in range(len(header["paths"]))
            }
        if header["sha256"] != _compute_digest(arrays, header["counters"]):
            raise ValueError("its checksum does not match its content")
    except MemoryError:
        raise
    except Exception as error:  # a flipped bit makes zipfile and numpy raise nearly anything, a tokenizer's errors too
        raise CorruptError(path, str(error) or type(error).__name__) from None
    expected = [(variable.path, tuple(variable.shape)) for variable in variables]
    found = [
        (name, value.shape) for name, value in zip(header["paths"], arrays.values(), strict=True)
    ]
    if expected != found:
        raise DataError(
            f"{path} holds other variables than this model and optimizer; was imgcls changed? Start"
            " a new run"
        )
    for variable, value in zip(variables, arrays.values(), strict=True):
        variable.assign(value)
    return header["counters"]


def _compute_digest(arrays: dict[str, numpy.ndarray], counters: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(counters, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(numpy.ascontiguousarray(array).data)
    return digest.hexdigest()
