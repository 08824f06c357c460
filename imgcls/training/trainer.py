"""The training loop of a run, from its last checkpoint to model.keras. Heavy zone."""

import gc
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import numpy

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.distributed.cluster import SINGLE_PROCESS, Cluster
from imgcls.distributed.collectives import Collectives
from imgcls.errors import DivergenceError, EpochLimit, Interrupted
from imgcls.input.batches import SequentialBatches, ShuffledBatches, open_training_examples
from imgcls.input.iterators import BatchIterator, find_placement, make_iterator
from imgcls.io import terminal
from imgcls.io.signals import StopRequest
from imgcls.io.terminal import TrainingProgress
from imgcls.run import Run
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import build, data_changes, history, micro_batches, step_sums, steps
from imgcls.training.checkpoint import Checkpoints, SaveSchedule
from imgcls.training.counters import Counters
from imgcls.training.divergence import DivergenceDetector
from imgcls.training.execution_length import ExecutionLength
from imgcls.training.history import EpochLog
from imgcls.training.recorder import Recorder


class Trainer:
    """Trains the model of a run, in one process or as one worker of a cluster.

    Raises:
        UserError: the batch size does not suit the devices, or the image size the model.
    """

    def __init__(
        self,
        run: Run,
        experiment: Experiment,
        store: Store,
        split: Split,
        cluster: Cluster = SINGLE_PROCESS,
    ):
        self._experiment = experiment
        self._settings = experiment.train
        self._store = store
        self._examples, self._validation = open_training_examples(
            store, split, self._settings.data_workers
        )
        self._steps_per_epoch = self._examples.count_batches(self._settings.batch_size)
        total_steps = self._settings.epochs * self._steps_per_epoch
        self._counters = Counters()
        self._progress = TrainingProgress(total_steps)
        self._save_schedule = SaveSchedule(self._settings.checkpoint)
        most = self._save_schedule.limit_steps(self._steps_per_epoch, 0)
        self._executions = ExecutionLength(self._settings.steps_per_execution, most)
        self._strategy = build.build_strategy(self._settings, cluster)
        replicas = self._strategy.num_replicas_in_sync
        build.set_up_process(experiment)
        self._local_batch_size = micro_batches.compute_local_batch_size(
            self._settings, replicas, len(self._examples)
        )
        with self._strategy.scope():
            self.model = build.build_model(experiment, store, split)
            self._optimizer, self._step_learning_rate = build.build_optimizer(experiment)
            self._optimizer.build(self.model.trainable_variables)
        self._compute_schedule = build.build_schedule(experiment, total_steps)
        self._batches = ShuffledBatches(self._examples, experiment, len(store.classes), replicas)
        self._divergence = DivergenceDetector(
            self._steps_per_epoch,
            self._get_learning_rate,
            lambda step: store.get_ids(self._batches.get_indices(step)),
        )
        self._collectives = Collectives(self._strategy, cluster)
        checkpoints = Checkpoints(
            run, self._settings, self.model, self._optimizer, self._steps_per_epoch
        )
        self.recorder = Recorder(run, checkpoints, cluster)
        number = micro_batches.count_accumulation_steps(self._settings, self._local_batch_size)
        self._set_accumulation_steps(number)

    def train(self, stop: StopRequest) -> None:
        """Train from the last checkpoint to the last epoch, and write model.keras.

        Raises:
            EpochLimit: training reached the number of epochs in `stop`; the state is saved.
            Interrupted: a signal or the time limit of a worker ended training; the state is saved.
            DivergenceError: a loss, gradient or weight is not finite.
            DataError: the store was changed.
            UserError: a checkpoint could not be written.
        """
        devices = [str(device) for device in self._strategy.extended.worker_devices]
        self.recorder.write_environment(self._experiment.seed, devices)
        self._restore()
        micro_batches.note_batch_norm(self._experiment, self._counters.accumulation_steps)
        while True:
            try:
                for epoch in self.train_epochs(stop):
                    self._progress.print_epoch(history.format_epoch(epoch, self._settings.epochs))
                break
            except DivergenceError as error:
                self._recover_from_divergence(error)
            except tf.errors.OpError as error:
                if not micro_batches.is_out_of_memory(error, self._collectives.is_single):
                    raise
                self._recover_from_out_of_memory(error)
            gc.collect()  # frees the failed functions, and the images they hold on the devices
        if not self._is_finished():
            self.recorder.finish_writing()
            self._collectives.barrier()
            reason = f"stopped after epoch {stop.epochs}, as requested"
            raise EpochLimit(reason, self.recorder.explain_resuming())
        with build.use_ema_weights(self.model, self._optimizer):
            self.recorder.write_model(
                self.model, self._counters.epochs, self._store, self._validation
            )
        self._collectives.barrier()  # no worker may exit before the model is written

    def close(self) -> None:
        """Finish writing, and stop the data workers, which TensorFlow's graph would keep alive."""
        self.recorder.finish_writing()
        self._examples.reader.close()

    def _restore(self) -> None:
        """Restore the last checkpoint; if there is none, save one, for retries to go back to."""
        restored = self.recorder.restore(self._local_batch_size)
        step = int(*self._collectives.all_reduce_max(-1 if restored is None else restored.step))
        if step >= 0:
            self._counters = restored or self.recorder.load_state(step)
            self.recorder.write_log(self._counters.epochs)
        else:
            self._save()
        self._set_accumulation_steps(self._counters.accumulation_steps)
        self._collectives.barrier()  # until all have read the checkpoint, which may be replaced

    def _set_accumulation_steps(self, number: int) -> None:
        """Compile the steps for a number of micro-batches per device."""
        self._counters.accumulation_steps = number
        loss, jit_compile = build.build_loss(self._experiment), self._settings.jit_compile
        trained = self.model, self._optimizer, self._step_learning_rate
        self._steps = steps.Steps(self._strategy, *trained, loss, number, jit_compile)

    def train_epochs(self, stop: StopRequest) -> Iterator[EpochLog]:
        """Train epoch after epoch from the current state.

        Yields:
            The log entry of each epoch, while its checkpoint is written.
        """
        counters = self._counters
        with ExitStack() as stack:
            training = stack.enter_context(self._make_iterator(self._batches, counters.step))
            validation = None
            if len(self._validation):
                batches = SequentialBatches(self._validation, self._settings.batch_size)
                validation = stack.enter_context(self._make_iterator(batches, 0))
            self._executions.expect_compilation()
            stack.enter_context(self._progress.start_at(counters.step))
            while len(counters.epochs) != stop.epochs and not self._is_finished():
                self._train_epoch(training, stop)
                start = time.perf_counter()
                self._end_epoch(validation)
                stop.record_duration("end of epoch", time.perf_counter() - start)
                yield counters.epochs[-1]

    def _is_finished(self) -> bool:
        epochs, stopping = self._counters.epochs, self._settings.early_stopping
        return len(epochs) >= self._settings.epochs or history.should_stop(epochs, stopping)

    def _make_iterator(self, batches: SequentialBatches, start: int) -> closing[BatchIterator]:
        """Return an iterator from step `start` on; images are cached if both splits fit."""
        size = self._examples.nbytes + self._validation.nbytes
        fits = size <= self._settings.device_cache_mib * 2**20
        placement, stages = find_placement(batches, self._strategy, fits), self._counters.stages
        return closing(make_iterator(placement, batches, self._strategy, start, stages))

    def _train_epoch(self, iterator: BatchIterator, stop: StopRequest) -> None:
        """Train to the end of the current epoch."""
        counters = self._counters
        epoch_end = (len(counters.epochs) + 1) * self._steps_per_epoch
        while counters.step < epoch_end:
            count = min(self._executions.steps, epoch_end - counters.step)
            count = self._save_schedule.limit_steps(count, counters.step)
            start = time.perf_counter()
            rates = self._compute_schedule(counters.step, count) * counters.learning_rate_factor
            sums = self._steps.train(iterator, counters.step, rates, numpy.array(counters.sums))
            seconds = counters.record_time("steps", start)
            stop.record_duration("steps", seconds)
            if not self._executions.is_fixed:
                self._executions.record(count, *self._collectives.all_reduce_max(seconds))
            self._divergence.check_steps(len(counters.epochs), sums)
            counters.sums, counters.step = sums.tolist(), counters.step + count
            images_per_second = sums[step_sums.COUNT] / counters.stages["steps"]
            epoch = f"{len(counters.epochs) + 1}/{self._settings.epochs}"
            self._progress.advance(count, epoch, images_per_second)
            self._stop_or_save(stop, epoch_end)

    def _stop_or_save(self, stop: StopRequest, epoch_end: int) -> None:
        """Save and stop if any worker has to stop; save if a checkpoint is due."""
        stop.record_duration("writing a checkpoint", self.recorder.max_write_seconds)
        reason = stop.reason
        stopping, due = self._collectives.all_reduce_max(
            reason is not None, self._save_schedule.is_due(self._counters.step)
        )
        if stopping:
            self._save()
            self.recorder.finish_writing()
            self._collectives.barrier()  # no worker may exit before the state is saved
            raise Interrupted(
                f"{reason or 'stopped with another worker'} at step {self._counters.step}",
                self.recorder.explain_resuming(),
            )
        if due and self._counters.step < epoch_end:
            self._save()

    def _recover_from_divergence(self, error: DivergenceError) -> None:
        """Go back to the last good checkpoint, and lower the learning rate.

        Raises:
            DivergenceError: `train.on_divergence` is not set, or its retries are used up.
        """
        policy = self._settings.on_divergence
        if policy is None or error.details is None:
            raise error
        self._restore()
        if len(self._counters.retries) >= policy.retries:
            raise DivergenceError(
                f"{error}; the {policy.retries} retries of train.on_divergence are used up",
                error.details,
            )
        count = self._counters.add_retry(error.details, policy.learning_rate_factor)
        self._save()
        terminal.note(
            f"{error}; going back to step {self._counters.step} with"
            f" {policy.learning_rate_factor:g} times the learning rate (retry {count} of"
            f" {policy.retries})"
        )

    def _recover_from_out_of_memory(self, error: tf.errors.OpError) -> None:
        """Go back to the last checkpoint, and continue with more accumulation steps.

        Raises:
            OutOfMemoryError: a micro-batch holds one image already.
            Interrupted: the workers of a cluster must start again, or this process.
        """
        failed_step = self._counters.step
        accumulation_steps = micro_batches.increase_accumulation_steps(
            self._local_batch_size, self._counters.accumulation_steps, error
        )
        size = self._local_batch_size // accumulation_steps
        is_single = self._collectives.is_single
        if not is_single or micro_batches.is_library_failure(error):
            self.recorder.request_accumulation_steps(accumulation_steps)
            raise micro_batches.make_restart_error(error, size, is_single)
        self._restore()
        self._set_accumulation_steps(accumulation_steps)
        self._save()
        terminal.note(
            f"out of memory after step {failed_step}; continuing from step {self._counters.step}"
            f" with micro-batches of {size}"
        )
        micro_batches.note_batch_norm(self._experiment, accumulation_steps)

    def _get_learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, as it is now."""
        return float(self._compute_schedule(step, 1)[0] * self._counters.learning_rate_factor)

    def _end_epoch(self, validation: BatchIterator | None) -> None:
        """Validate the model, log the epoch, and save a checkpoint."""
        counters, plateau = self._counters, self._settings.plateau
        self._divergence.check_weights(self.model.variables, counters.step)
        with build.use_ema_weights(self.model, self._optimizer):
            val_loss, val_accuracy = self._validate(validation)
        learning_rate = self._get_learning_rate(counters.step - 1)
        counters.end_epoch(val_loss, val_accuracy, learning_rate, self._executions.steps)
        if plateau and history.should_reduce_learning_rate(counters.epochs, plateau):
            counters.learning_rate_factor *= plateau.factor
        self._save()

    def _validate(self, iterator: BatchIterator | None) -> tuple[float | None, float | None]:
        """Return loss and accuracy on the validation split; None without one."""
        if iterator is None:
            return None, None
        start = time.perf_counter()
        count = self._validation.count_batches(self._settings.batch_size)
        sums = self._steps.evaluate(iterator, count)
        self._counters.record_time("validation", start)
        loss, accuracy = step_sums.compute_means(sums)
        self._divergence.check_validation(loss, len(self._counters.epochs) + 1)
        return loss, accuracy

    def _save(self) -> None:
        data_changes.require_unchanged(self._store, self._collectives)
        self._divergence.check_weights(self.model.variables, self._counters.step)
        start = time.perf_counter()
        self.recorder.save(self._counters)
        self._counters.record_time("saving", start)
        self._save_schedule.mark_saved()
