"""The state of a training: restored, saved, and continued by another process. Heavy zone."""

import time
from collections.abc import Callable

from imgcls.config import Experiment
from imgcls.distributed.collectives import Collectives
from imgcls.errors import EpochLimit, Interrupted
from imgcls.io.signals import StopRequest
from imgcls.store.store import Store
from imgcls.training import data_changes, history, micro_batches
from imgcls.training.checkpoint import SaveSchedule
from imgcls.training.counters import Counters
from imgcls.training.divergence import DivergenceDetector
from imgcls.training.plan import count_epochs
from imgcls.training.recorder import Recorder
from imgcls.training.replicated_model import ReplicatedModel


class TrainingState:
    """The counters and variables of a training, and its checkpoints.

    Args:
        initialize: changes the random weights of a new run; None if they stay. Only the chief calls
            it; the other workers load its checkpoint.

    Attributes:
        recorder: writes the checkpoints.
        collectives: of the processes that train together.
        local_batch_size: images of a batch on each device.
        counters: the state outside the variables; another object after `restore`.
    """

    def __init__(
        self,
        experiment: Experiment,
        store: Store,
        replicated: ReplicatedModel,
        recorder: Recorder,
        collectives: Collectives,
        divergence: DivergenceDetector,
        local_batch_size: int,
        initialize: Callable[[], None] | None,
    ):
        self._settings = experiment.train
        self._store = store
        self._replicated = replicated
        self.recorder = recorder
        self.collectives = collectives
        self._divergence = divergence
        self._initialize = initialize
        self.local_batch_size = local_batch_size
        self.save_schedule = SaveSchedule(self._settings.checkpoint)
        self.counters = Counters()
        number = micro_batches.count_accumulation_steps(self._settings, local_batch_size)
        self.set_accumulation_steps(number)

    def set_accumulation_steps(self, number: int) -> None:
        """Compile the steps for a number of micro-batches per device."""
        self.counters.accumulation_steps = number
        self._replicated.compile_steps(number)

    def is_finished(self) -> bool:
        """Return whether all epochs are done, or training stopped early."""
        epochs, stopping = self.counters.epochs, self._settings.early_stopping
        count = max(count_epochs(self._settings), 1)  # without epochs, the log has one entry
        return len(epochs) >= count or history.should_stop(epochs, stopping)

    def require_finished(self, stop: StopRequest) -> None:
        """Raise `EpochLimit` if training stopped after a number of epochs; the state is on disk."""
        if not self.is_finished():
            self.recorder.finish_writing()
            self.collectives.barrier()
            reason = f"stopped after epoch {stop.epochs}, as requested"
            raise EpochLimit(reason, self.recorder.explain_resuming())

    def restore(self) -> None:
        """Restore the last checkpoint; if there is none, save one, for retries to go back to."""
        restored = self.recorder.restore(self.local_batch_size)
        step = int(*self.collectives.all_reduce_max(-1 if restored is None else restored.step))
        if step >= 0:
            self.counters = restored or self.recorder.load_state(step)
            self.recorder.write_log(self.counters.epochs)
        else:
            self._start()
        self.set_accumulation_steps(self.counters.accumulation_steps)
        self.collectives.barrier()  # until all have read the checkpoint, which may be replaced

    def _start(self) -> None:
        """Save the first checkpoint of a run, with the same weights on all workers."""
        if self._initialize and self.recorder.is_chief:
            self._initialize()
            self._replicated.reset_averages()
        self.save()
        self.recorder.remove_request()  # a plan follows one, which all workers have read
        if self._initialize:
            self.recorder.finish_writing()
            self.collectives.barrier()
            if not self.recorder.is_chief:
                self.recorder.load_state(self.counters.step)

    def save(self) -> None:
        """Save a checkpoint, unless the data was changed or a weight is not finite.

        Raises:
            DataError: the store was changed.
            DivergenceError: a weight is not finite.
            UserError: the previous checkpoint could not be written.
        """
        data_changes.require_unchanged(self._store, self.collectives)
        self._divergence.check_weights(self._replicated.model.variables, self.counters.step)
        start = time.perf_counter()
        self.recorder.save(self.counters)
        self.counters.record_time("saving", start)
        self.save_schedule.mark_saved()

    def stop_if_requested(self, stop: StopRequest) -> None:
        """Stop if any worker has to, without saving: the last checkpoint is the state.

        Raises:
            Interrupted: training stops.
        """
        reason = stop.reason
        if any(self.collectives.all_reduce_max(reason is not None)):
            raise self._make_interruption(reason)

    def _make_interruption(self, reason: str | None) -> Interrupted:
        return Interrupted(
            f"{reason or 'stopped with another worker'} at step {self.counters.step}",
            self.recorder.explain_resuming(),
        )

    def stop_or_save(self, stop: StopRequest, epoch_end: int) -> None:
        """Save and stop if any worker has to stop; save if a checkpoint is due.

        Args:
            epoch_end: the step after which the end of the epoch saves a checkpoint anyway.

        Raises:
            Interrupted: training stops; also raises as `save`.
        """
        stop.record_duration("writing a checkpoint", self.recorder.max_write_seconds)
        reason = stop.reason
        stopping, due = self.collectives.all_reduce_max(
            reason is not None, self.save_schedule.is_due(self.counters.step)
        )
        if stopping:
            self.save()
            self.recorder.finish_writing()
            self.collectives.barrier()  # no worker may exit before the state is saved
            raise self._make_interruption(reason)
        if due and self.counters.step < epoch_end:
            self.save()
