"""Saves and restores the complete training state, one file per checkpoint. Heavy zone.

A checkpoint holds every variable that training changes, and the counters. Keras's `save_weights`
and `tf.train.Checkpoint` would leave out the seed states of dropout, which `model.variables`
includes.
"""

import contextlib
import hashlib
import io
import json
import time
from pathlib import Path

import numpy
from pydantic import ValidationError

from imgcls.backend import keras
from imgcls.durations import Duration
from imgcls.errors import DataError
from imgcls.io import files, terminal
from imgcls.io.records import DataFile, Record
from imgcls.run import Run
from imgcls.train_config import Train
from imgcls.training import history
from imgcls.training.counters import Counters

HEADER = "header"


class StateHeader(Record):
    """The header of a file of variables."""

    counters: Counters | None
    """The training state outside the variables; null in a file with weights only."""
    paths: list[str]
    """The variables' paths, in the order of the arrays."""
    sha256: str
    """The SHA-256 of the counters and all variables."""


class CorruptError(DataError):
    """A checkpoint is truncated or corrupt. Exit code 3."""

    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"{path} is damaged ({reason}); delete the folder {path.parent} to train this run from"
            " its start"
        )
        self.path = path
        self.reason = reason


class SaveSchedule:
    """Decides when to save a checkpoint within an epoch.

    Args:
        interval: a number of steps or a time; None to save at the ends of epochs only.
    """

    def __init__(self, interval: Duration | None):
        self._steps = int(interval.number) if interval and interval.unit == "steps" else None
        self._seconds = interval.seconds if interval and interval.unit != "steps" else None
        self._last_save = time.monotonic()

    def mark_saved(self) -> None:
        """Measure the interval from now."""
        self._last_save = time.monotonic()

    def limit_steps(self, count: int, step: int) -> int:
        """Return `count`, or the number of steps from `step` to the next checkpoint if smaller."""
        return min(count, self._steps - step % self._steps) if self._steps else count

    def is_due(self, step: int) -> bool:
        """Return whether to save now, after `step` steps."""
        elapsed = time.monotonic() - self._last_save
        by_time = self._seconds is not None and elapsed >= self._seconds
        return by_time or (self._steps is not None and step % self._steps == 0)


class Checkpoints:
    """Keeps a run's last two checkpoints, and the best weights that they refer to.

    Args:
        other_variables: the variables of the training state that are not the model's.
    """

    def __init__(
        self,
        run: Run,
        settings: Train,
        model: keras.Model,
        other_variables: list[keras.Variable],
        steps_per_epoch: int,
    ):
        self._run = run
        self._settings = settings
        self._model = model
        self._variables = [*model.variables, *other_variables]
        self._steps_per_epoch = steps_per_epoch

    def restore(self) -> Counters | None:
        """Load the newest intact checkpoint, and delete damaged ones that are newer.

        Returns:
            Its counters; None if the run has no checkpoint.

        Raises:
            CorruptError: every checkpoint is damaged; the error names the oldest.
            DataError: the checkpoints belong to a different model or optimizer.
        """
        damaged: list[CorruptError] = []
        for path in self._run.state_files():
            try:
                counters = _require_counters(path, load(path, self._variables))
            except CorruptError as error:
                damaged.append(error)
                terminal.note(f"{path} is damaged ({error.reason}); trying the previous one")
                continue
            for newer in damaged:
                newer.path.unlink()
            if damaged:
                terminal.note(f"continuing from {path}, at step {counters.step}")
            return counters
        if damaged:
            raise damaged[-1]
        return None

    def load_state(self, step: int) -> Counters:
        """Load the checkpoint of a step, which the chief has checked already.

        Returns:
            Its counters.

        Raises:
            DataError: the checkpoint is missing or damaged.
        """
        path = self._run.state_file(step)
        return _require_counters(path, load(path, self._variables))

    def save(self, counters: Counters) -> None:
        """Write a checkpoint; delete files that neither it nor the previous one refers to."""
        save(self._run.state_file(counters.step), self._variables, counters)
        states = self._run.state_files()[:2]
        for path in self._run.state_files()[2:]:
            path.unlink()
        needed = {
            self._get_best_weights_file(
                counters.epochs[: self._run.get_step(path) // self._steps_per_epoch]
            )
            for path in states
        }
        for path in self._run.best_weights_files():
            if path not in needed:
                path.unlink()

    def save_best(self, epochs: history.Epochs) -> None:
        """Save the model's weights if the last epoch is the best so far.

        Call it before `save`: a checkpoint must not refer to weights that are not on disk.
        """
        if self._get_best_weights_file(epochs) == self._run.best_weights_file(len(epochs)):
            save(self._run.best_weights_file(len(epochs)), self._model.variables, None)

    def load_selected(self, epochs: history.Epochs) -> None:
        """Load the weights that `train.select_weights` asks for into the model.

        Raises:
            CorruptError: the file is truncated or corrupt.
        """
        best = self._get_best_weights_file(epochs)
        if best is not None:
            load(best, self._model.variables)

    def _get_best_weights_file(self, epochs: history.Epochs) -> Path | None:
        """Return the file with the best epoch's weights.

        None before the first epoch, and if `train.select_weights` asks for the last epoch, whose
        weights are the model's.
        """
        if self._settings.select_weights == "last" or not epochs:
            return None
        return self._run.best_weights_file(history.find_selected_epoch(epochs, self._settings))


def read_newest_counters(run: Run) -> Counters | None:
    """Return the counters of a run's newest intact checkpoint; None if there is none."""
    for path in run.state_files():
        with contextlib.suppress(DataError):
            return _require_counters(path, _read(path)[0].counters)
    return None


def save(path: Path, variables: list[keras.Variable], counters: Counters | None) -> None:
    """Write variables and counters atomically to an .npz file, with their SHA-256."""
    arrays = {f"{number:05d}": variable.value.numpy() for number, variable in enumerate(variables)}
    header = StateHeader.model_validate(
        {
            "counters": None if counters is None else counters.model_dump(),
            "paths": [variable.path for variable in variables],
            "sha256": _compute_digest(arrays, counters),
        }
    )
    text = json.dumps(header.model_dump(), allow_nan=False)
    arrays[HEADER] = numpy.frombuffer(text.encode(), numpy.uint8)
    with files.replace_file(path) as stream:
        numpy.savez(stream, **arrays)


def load(path: Path, variables: list[keras.Variable]) -> Counters | None:
    """Load a file that `save` wrote into variables that are already built.

    Returns:
        The counters; None if the file holds weights only.

    Raises:
        CorruptError: the file is truncated or corrupt.
        DataError: it cannot be read, or belongs to a different model or optimizer.
    """
    header, arrays = _read(path)
    expected = [(variable.path, tuple(variable.shape)) for variable in variables]
    saved = [(name, value.shape) for name, value in zip(header.paths, arrays.values(), strict=True)]
    if saved != expected:
        raise DataError(
            f"the variables in {path} do not match this model and optimizer; was imgcls changed?"
            " Start a new run"
        )
    for variable, value in zip(variables, arrays.values(), strict=True):
        variable.assign(value)
    return header.counters


def _read(path: Path) -> tuple[StateHeader, dict[str, numpy.ndarray]]:
    """Return the header and the arrays of a file that `save` wrote; raises as `load` does."""
    # A file that cannot be read is an ordinary DataError: `restore` would delete a corrupt one.
    content = DataFile(path, "run the same command again").read_bytes()
    try:
        with numpy.load(io.BytesIO(content), allow_pickle=False) as archive:
            header = StateHeader.model_validate(json.loads(archive[HEADER].tobytes()))
            names = [f"{number:05d}" for number in range(len(header.paths))]
            arrays = {name: archive[name] for name in names}
        if header.sha256 != _compute_digest(arrays, header.counters):
            raise ValueError("its checksum does not match its content")
    except MemoryError:
        raise
    except ValidationError:
        raise CorruptError(path, "its header does not match this version's format") from None
    except Exception as error:  # after a flipped bit, zipfile and numpy raise nearly anything
        raise CorruptError(path, str(error) or type(error).__name__) from None
    return header, arrays


def _require_counters(path: Path, counters: Counters | None) -> Counters:
    if counters is None:
        raise CorruptError(path, "it holds weights but no training state")
    return counters


def _compute_digest(arrays: dict[str, numpy.ndarray], counters: Counters | None) -> str:
    values = None if counters is None else counters.model_dump()
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(numpy.ascontiguousarray(array).data)
    return digest.hexdigest()
