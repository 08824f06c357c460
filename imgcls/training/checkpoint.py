"""The training state on disk: every variable that training changes, and the counters around them,
in one file. Heavy zone.

`save_weights` and `tf.train.Checkpoint` leave out the dropout seed states; `model.variables` holds
them.
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
from imgcls.config import Train
from imgcls.durations import Duration
from imgcls.errors import DataError
from imgcls.io import files, terminal
from imgcls.io.records import DataFile, Record
from imgcls.run import Run
from imgcls.training import history
from imgcls.training.counters import Counters

HEADER = "header"


class StateHeader(Record):
    """What a file of variables says of them."""

    counters: Counters | None
    """The state beside the variables; null in a file of weights alone."""
    paths: list[str]
    """The names of the variables, in their order."""
    sha256: str
    """Of all counters and variables."""


class CorruptError(DataError):
    """A checkpoint is truncated or corrupt. Exit code 3."""

    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"{path} is damaged ({reason}); delete the folder {path.parent} to train this run from"
            " its start"
        )
        self.path = path
        self.reason = reason


class SavePlan:
    """When the state is saved in the middle of an epoch."""

    def __init__(self, every: Duration | None):
        self._every = int(every.number) if every and every.unit == "steps" else None
        self._seconds = every.seconds if every and every.unit != "steps" else None
        self._last = time.monotonic()

    def mark_saved(self) -> None:
        """Start to wait anew."""
        self._last = time.monotonic()

    def limit(self, count: int, step: int) -> int:
        """Return how many of the next `count` steps after `step` to take until a step at which to
        save.
        """
        return min(count, self._every - step % self._every) if self._every else count

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
            CorruptError: there are states, but none is whole; it names the oldest.
            DataError: the states were written for other variables.
        """
        damaged: list[CorruptError] = []
        for path in self._run.state_files():
            try:
                counters = _require_counters(path, load(path, self._variables))
            except CorruptError as error:
                damaged.append(error)
                terminal.note(f"{path} is damaged ({error.reason}); looking for the one before it")
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
        """Load the state after a step, which another process has found whole; return its counters.

        Raises:
            DataError: the state is not there, or not whole.
        """
        path = self._run.state_file(step)
        return _require_counters(path, load(path, self._variables))

    def save(self, counters: Counters) -> None:
        """Write the state, and delete what neither it nor the one before it needs."""
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
        """Keep the weights if the last epoch is the best so far; the state that refers to them is
        written after them.
        """
        if self._get_best_weights_file(epochs) == self._run.best_weights_file(len(epochs)):
            save(self._run.best_weights_file(len(epochs)), self._model.variables, None)

    def load_selected(self, epochs: history.Epochs) -> None:
        """Give the model the weights that `train.select_weights` names.

        Raises:
            CorruptError: their file is truncated or corrupt.
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


def read_newest_counters(run: Run) -> Counters | None:
    """Return the counters of a run's newest state that is whole; None where there is none."""
    for path in run.state_files():
        with contextlib.suppress(DataError):
            return _require_counters(path, _read(path)[0].counters)
    return None


def save(path: Path, variables: list[keras.Variable], counters: Counters | None) -> None:
    """Write variables and counters to one .npz file with a SHA-256 of them all, which replaces the
    last one as a whole.
    """
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
    """Assign what `save` wrote to variables that are already built; return the counters.

    Raises:
        CorruptError: the file is truncated or corrupt.
        DataError: it cannot be read, or was written for other variables.
    """
    header, arrays = _read(path)
    expected = [(variable.path, tuple(variable.shape)) for variable in variables]
    found = [(name, value.shape) for name, value in zip(header.paths, arrays.values(), strict=True)]
    if expected != found:
        raise DataError(
            f"{path} holds other variables than this model and optimizer; was imgcls changed? Start"
            " a new run"
        )
    for variable, value in zip(variables, arrays.values(), strict=True):
        variable.assign(value)
    return header.counters


def _read(path: Path) -> tuple[StateHeader, dict[str, numpy.ndarray]]:
    """Return what `save` wrote; raises as `load` does."""
    # What cannot be read is not taken for corrupt, and so not deleted.
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
        raise CorruptError(path, "its header is not one of this version") from None
    except Exception as error:  # a flipped bit makes zipfile and numpy raise nearly anything
        raise CorruptError(path, str(error) or type(error).__name__) from None
    return header, arrays


def _require_counters(path: Path, counters: Counters | None) -> Counters:
    if counters is None:
        raise CorruptError(path, "it holds weights alone")
    return counters


def _compute_digest(arrays: dict[str, numpy.ndarray], counters: Counters | None) -> str:
    described = None if counters is None else counters.model_dump()
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(numpy.ascontiguousarray(array).data)
    return digest.hexdigest()
