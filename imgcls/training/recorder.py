"""Writes the files of a run during training. Heavy zone."""

import contextlib
import os
from collections.abc import Iterator
from functools import cached_property

import numpy

from imgcls import __version__, environment
from imgcls.backend import keras
from imgcls.distributed.cluster import Cluster
from imgcls.errors import DataError
from imgcls.evaluation import sample
from imgcls.input.batches import Examples
from imgcls.io import terminal
from imgcls.io.records import write_record, write_records
from imgcls.io.threads import BackgroundThread
from imgcls.run import Run
from imgcls.run_lookup import format_command
from imgcls.store.store import Store
from imgcls.train_config import Train
from imgcls.training import (
    accumulation_request,
    checkpoint,
    history,
    log_formats,
    model_file,
    resume,
    temperature,
)
from imgcls.training.checkpoint import Checkpoints
from imgcls.training.checkpoint_file import Snapshot
from imgcls.training.counters import Counters
from imgcls.training.model_description import ModelDescription, SoupDescription


class Recorder:
    """Writes the environment, status, log, checkpoints and model of a run.

    In a cluster, every worker calls the same methods, and only the chief writes. Checkpoints, and
    the status and log that follow them, are written in a thread; `finish_writing` waits for it.
    """

    def __init__(self, run: Run, checkpoints: Checkpoints, cluster: Cluster):
        self._run = run
        self._checkpoints = checkpoints
        self._cluster = cluster
        self._thread = BackgroundThread()
        self.is_chief = cluster.is_chief

    def write_environment(self, seed: int, devices: list[str]) -> None:
        """Write the environment of this start, with that of earlier starts of the run."""
        if not self.is_chief:
            return
        previous = self._run.environment if os.path.lexists(self._run.environment_file) else None
        workers = list(self._cluster.addresses)
        runtime = environment.read_runtime()
        current = environment.describe(seed, devices, runtime, workers, previous)
        if previous:
            resume.note_changed_environment(self._run, previous, current)
        write_record(self._run.environment_file, current)

    def explain_resuming(self) -> str:
        """Return a sentence on how to resume a run whose checkpoint is saved."""
        if not self._cluster.is_single:
            return "the state is saved; start all workers again with the same commands to continue"
        return f"the state is saved, continue with: {format_command(self._run)}"

    def load_state(self, step: int) -> Counters:
        """Load the checkpoint that the chief restored, on another worker; return its counters."""
        return self._checkpoints.load_state(step)

    @cached_property
    def _settings(self) -> Train:
        return self._run.experiment.train

    @property
    def max_write_seconds(self) -> float:
        """The longest time that writing a checkpoint has taken so far."""
        return self._thread.max_seconds

    def save(self, counters: Counters) -> None:
        """Take a snapshot of the training state, and start to write it.

        Raises:
            UserError: the previous one could not be written.
        """
        if not self.is_chief:
            return
        self.finish_writing()  # before the next snapshot takes as much memory
        snapshot, saved = self._checkpoints.take_snapshot(), counters.model_copy(deep=True)
        self._thread.start(lambda: self._write(snapshot, saved))

    def _write(self, snapshot: Snapshot, counters: Counters) -> None:
        """Write a checkpoint, then what says that it is there: the status, and an epoch's log."""
        self._checkpoints.write(snapshot, counters)
        self._run.write_status(
            "running",
            step=counters.step,
            retries=counters.retries,
            accumulation_steps=counters.accumulation_steps,
        )
        if self._checkpoints.ends_epoch(counters):
            self.write_log(counters.epochs)

    def finish_writing(self) -> None:
        """Wait until the last checkpoint is on disk.

        Raises:
            UserError: it could not be written.
        """
        self._thread.join()

    @contextlib.contextmanager
    def complete_writing(self) -> Iterator[None]:
        """Wait at the end of the block until the last checkpoint is on disk.

        An error of the block gets that of writing as a note.
        """
        try:
            yield
        except BaseException as error:
            try:
                self.finish_writing()
            except Exception as second:
                error.add_note(str(second))
            raise
        self.finish_writing()

    def read_weights(self, epoch: int) -> list[numpy.ndarray]:
        """Return the weights after an epoch, which must be on disk, on any worker."""
        return self._checkpoints.read_weights(epoch)

    def request_accumulation_steps(self, number: int) -> None:
        """Ask for more accumulation steps at the next start; every worker may do so."""
        accumulation_request.write_request(self._run, number)

    def remove_request(self) -> None:
        """Remove the request for accumulation steps, which the state now has."""
        if self.is_chief:
            self._run.accumulation_steps_file.unlink(missing_ok=True)

    def restore(self, local_batch_size: int) -> Counters | None:
        """Load the newest intact checkpoint on the chief.

        Args:
            local_batch_size: images per device and step, for checking `accumulation_steps.json`.

        Returns:
            Its counters; None on other workers, and if there is no checkpoint.

        Raises:
            DataError: the requested number of accumulation steps does not divide a local batch.
        """
        self.finish_writing()
        counters = self._checkpoints.restore() if self.is_chief else None
        if counters is None:
            return None
        requested = accumulation_request.read_request(self._run, local_batch_size)
        if requested is None:
            return counters
        counters.accumulation_steps = max(counters.accumulation_steps, requested)
        self.save(counters)
        self.finish_writing()
        self.remove_request()
        return counters

    def write_log(self, epochs: history.Epochs) -> None:
        """Replace the log, which after going back to an older checkpoint has too many epochs."""
        if self.is_chief:
            write_records(self._run.log_file, epochs)
            log_formats.write_formats(self._run, epochs, self._settings.tensorboard)

    def write_model(
        self,
        model: keras.Model,
        epochs: history.Epochs,
        store: Store,
        validation: Examples,
        soup: SoupDescription | None = None,
    ) -> None:
        """Write model.keras, with the weights that `train.select_weights` asks for, calibrated;
        and a sample of the validation images.

        Args:
            soup: what the model's weights are an average of; None to load those of an epoch.

        Raises:
            DataError: the store was changed.
        """
        if not self.is_chief:
            return
        self.finish_writing()
        if soup is None:
            self._checkpoints.load_selected(epochs)
        plain = model_file.make_plain_model(model)
        calibration = temperature.calibrate(plain, validation, self._run.experiment.train)
        sample.write_sample(self._run.sample_file, validation, self._run.experiment.seed)
        store.change_detector.require_unchanged()  # images were read to calibrate, and as a sample
        geometry = validation.reader.geometry
        description = ModelDescription(
            classes=store.classes,
            shape=geometry.shape,
            resize=geometry.resize,
            calibration=calibration,
            soup=soup,
            fingerprint=store.fingerprint,
            imgcls=__version__,
        )
        serving = model_file.make_serving_model(plain, calibration.temperature)
        model_file.save_model(serving, description, self._run.model_file)


def rebuild_log(run: Run, problem: str) -> None:
    """Restore the log of a finished run from its newest intact checkpoint.

    Args:
        problem: what is wrong with the log, a clause that starts the messages.

    Raises:
        DataError: the run has no intact checkpoint.
    """
    counters = checkpoint.read_newest_counters(run)
    if counters is None or not counters.epochs:
        raise DataError(
            f"{problem}, and {run.checkpoint_folder} has no checkpoint to restore it from: the"
            " losses and accuracies of its epochs are lost, but not the model and its evaluations;"
            " to get a log, train a new run with --run"
        )
    write_records(run.log_file, counters.epochs)
    log_formats.write_formats(run, counters.epochs, run.experiment.train.tensorboard)
    terminal.note(f"{problem}; restored it from the checkpoint of step {counters.step}")
