"""Saves and restores the complete training state, one file per checkpoint. Heavy zone.

Saving takes a snapshot of all variables, which a thread then writes while training goes on.

A checkpoint holds every variable that training changes, and the counters. Keras's `save_weights`
and `tf.train.Checkpoint` would leave out the seed states of layers, which `model.variables`
includes.
"""

import contextlib
import time
from pathlib import Path

import numpy

from imgcls.backend import keras
from imgcls.durations import Duration
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.run import Run
from imgcls.train_config import Train
from imgcls.training import averaged_weights, checkpoint_file, history
from imgcls.training.checkpoint_file import CorruptError, Snapshot
from imgcls.training.counters import Counters


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
    """Keeps a run's last two checkpoints, and the weights of the best epochs that they need."""

    def __init__(
        self,
        run: Run,
        settings: Train,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        steps_per_epoch: int,
    ):
        self._run = run
        self._settings = settings
        self._model = model
        self._variables = [*model.variables, *optimizer.variables]
        self._optimizer = optimizer
        self._validated: list[int] = []
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
                counters = _require_counters(path, checkpoint_file.load(path, self._variables))
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
        return _require_counters(path, checkpoint_file.load(path, self._variables))

    def take_snapshot(self) -> Snapshot:
        """Return the values of all variables of the training state, for `write`."""
        numbers = {id(variable): number for number, variable in enumerate(self._variables)}
        validated = averaged_weights.get_validated_variables(self._model, self._optimizer)
        self._validated = [numbers[id(each)] for each in validated]  # depends on what is frozen
        return checkpoint_file.take_snapshot(self._variables)

    def write(self, snapshot: Snapshot, counters: Counters) -> None:
        """Write a checkpoint; delete files that neither it nor the previous one refers to.

        At the end of an epoch whose weights are kept, such as the best so far, these come first: a
        checkpoint must not refer to weights that are not on disk.
        """
        epoch = len(counters.epochs)
        kept = history.rank_kept_epochs(counters.epochs, self._settings)
        if epoch in kept and self.ends_epoch(counters):
            paths = [variable.path for variable in self._model.variables]
            weights = [snapshot.arrays[number] for number in self._validated]
            path = self._run.best_weights_file(epoch)
            checkpoint_file.write(path, Snapshot(paths, weights), None)
        checkpoint_file.write(self._run.state_file(counters.step), snapshot, counters)
        self._delete_old(counters.epochs)

    def ends_epoch(self, counters: Counters) -> bool:
        """Return whether the state is that after an epoch, or before the first one."""
        return counters.step == (counters.epochs[-1].step if counters.epochs else 0)

    def _delete_old(self, epochs: history.Epochs) -> None:
        states = self._run.state_files()[:2]
        for path in self._run.state_files()[2:]:
            path.unlink()
        needed = {
            self._run.best_weights_file(epoch)
            for path in states
            for epoch in history.rank_kept_epochs(
                epochs[: self._run.get_step(path) // self._steps_per_epoch], self._settings
            )
        }
        for path in self._run.best_weights_files():
            if path not in needed:
                path.unlink()

    def load_selected(self, epochs: history.Epochs) -> None:
        """Load the weights that `train.select_weights` asks for into the model.

        Raises:
            CorruptError: the file is truncated or corrupt.
        """
        for epoch in history.rank_kept_epochs(epochs, self._settings)[:1]:
            checkpoint_file.load(self._run.best_weights_file(epoch), self._model.variables)

    def read_weights(self, epoch: int) -> list[numpy.ndarray]:
        """Return the weights after an epoch that are kept, in the order of the model's variables.

        Raises:
            CorruptError: the file is truncated or corrupt.
        """
        _, arrays = checkpoint_file.read(self._run.best_weights_file(epoch))
        return list(arrays.values())


def read_newest_counters(run: Run) -> Counters | None:
    """Return the counters of a run's newest intact checkpoint; None if there is none."""
    for path in run.state_files():
        with contextlib.suppress(DataError):
            return _require_counters(path, checkpoint_file.read(path)[0].counters)
    return None


def _require_counters(path: Path, counters: Counters | None) -> Counters:
    if counters is None:
        raise CorruptError(path, "it holds weights but no training state")
    return counters
