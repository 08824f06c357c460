"""The training loop of a run, from its last checkpoint to model.keras. Heavy zone."""

import gc
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import numpy

from imgcls.backend import keras, tf
from imgcls.config import Experiment
from imgcls.distributed.cluster import SINGLE_PROCESS, Cluster
from imgcls.distributed.collectives import Collectives
from imgcls.errors import DivergenceError, EpochLimit
from imgcls.input.batches import (
    Examples,
    SequentialBatches,
    ShuffledBatches,
    open_training_examples,
)
from imgcls.input.iterators import BatchIterator, find_placement, make_iterator
from imgcls.io.signals import StopRequest
from imgcls.io.terminal import TrainingProgress
from imgcls.run import Run
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import build, history, micro_batches, recovery, step_sums
from imgcls.training.checkpoint import Checkpoints
from imgcls.training.divergence import DivergenceDetector
from imgcls.training.epoch_end import EpochEnd
from imgcls.training.execution_length import ExecutionLength
from imgcls.training.history import EpochLog
from imgcls.training.recorder import Recorder
from imgcls.training.replicated_model import ReplicatedModel
from imgcls.training.state import TrainingState
from imgcls.transfer.initialization import find_initializer


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
        self._progress = TrainingProgress(total_steps)
        self._strategy = build.build_strategy(self._settings, cluster)
        replicas = self._strategy.num_replicas_in_sync
        build.set_up_process(experiment)
        local_batch_size = micro_batches.compute_local_batch_size(
            self._settings, replicas, len(self._examples)
        )
        self._replicated = ReplicatedModel(experiment, store, split, self._strategy)
        self._compute_schedule = build.build_schedule(experiment, total_steps)
        self._batches = ShuffledBatches(self._examples, experiment, len(store.classes), replicas)
        self._divergence = DivergenceDetector(
            self._steps_per_epoch,
            self._get_learning_rate,
            lambda step: store.get_ids(self._batches.get_indices(step)),
        )
        checkpoints = Checkpoints(
            run,
            self._settings,
            self._replicated.model,
            self._replicated.optimizer,
            self._steps_per_epoch,
        )
        self.recorder = Recorder(run, checkpoints, cluster)
        self._state = TrainingState(
            experiment,
            store,
            self._replicated,
            self.recorder,
            Collectives(self._strategy, cluster),
            self._divergence,
            local_batch_size,
            micro_batches.count_accumulation_steps(self._settings, local_batch_size),
            find_initializer(self._replicated.model, experiment, store, split, run),
        )
        most = self._state.save_schedule.limit_steps(self._steps_per_epoch, 0)
        self._executions = ExecutionLength(self._settings.steps_per_execution, most)
        self._epoch_end = EpochEnd(
            self._settings,
            self._replicated,
            self._divergence,
            self._validation.count_batches(self._settings.batch_size),
        )

    @property
    def model(self) -> keras.Model:
        """The model that is trained."""
        return self._replicated.model

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
        state = self._state
        state.restore()
        micro_batches.note_batch_norm(self._experiment, state.counters.accumulation_steps)
        while True:
            try:
                for epoch in self.train_epochs(stop):
                    self._progress.print_epoch(history.format_epoch(epoch, self._settings.epochs))
                break
            except DivergenceError as error:
                recovery.recover_from_divergence(error, self._experiment, state)
            except tf.errors.OpError as error:
                recovery.recover_from_out_of_memory(error, self._experiment, state)
            gc.collect()  # frees the failed functions, and the images they hold on the devices
        if not state.is_finished():
            self.recorder.finish_writing()
            state.collectives.barrier()
            reason = f"stopped after epoch {stop.epochs}, as requested"
            raise EpochLimit(reason, self.recorder.explain_resuming())
        with self._replicated.use_validated_weights():
            self.recorder.write_model(
                self.model, state.counters.epochs, self._store, self._validation
            )
        state.collectives.barrier()  # no worker may exit before the model is written

    def close(self) -> None:
        """Finish writing, and stop the data workers, which TensorFlow's graph would keep alive."""
        self.recorder.finish_writing()
        self._examples.reader.close()

    def train_epochs(self, stop: StopRequest) -> Iterator[EpochLog]:
        """Train epoch after epoch from the current state.

        Yields:
            The log entry of each epoch, while its checkpoint is written.
        """
        state = self._state
        counters = state.counters
        with ExitStack() as stack:
            training = stack.enter_context(self._make_iterator(self._batches, counters.step))
            validation = None
            if len(self._validation):
                batches = SequentialBatches(self._validation, self._settings.batch_size)
                validation = stack.enter_context(self._make_iterator(batches, 0))
            self._executions.expect_compilation()
            stack.enter_context(self._progress.start_at(counters.step))
            while len(counters.epochs) != stop.epochs and not state.is_finished():
                self._train_epoch(training, stop)
                start = time.perf_counter()
                learning_rate = self._get_learning_rate(counters.step - 1)
                self._epoch_end.end_epoch(
                    counters, validation, learning_rate, self._executions.steps
                )
                state.save()
                stop.record_duration("end of epoch", time.perf_counter() - start)
                yield counters.epochs[-1]

    def evaluate(self, examples: Examples) -> tuple[float, float]:
        """Return loss and accuracy of the validated weights on examples, without augmentation."""
        batches = SequentialBatches(examples, self._settings.batch_size)
        validated = self._replicated.use_validated_weights()
        with validated, self._make_iterator(batches, 0) as iterator:
            sums = self._replicated.steps.evaluate(iterator, batches.steps_per_epoch)
        return step_sums.compute_means(sums)

    def _make_iterator(self, batches: SequentialBatches, start: int) -> closing[BatchIterator]:
        """Return an iterator from step `start` on; images are cached if both splits fit."""
        size = self._examples.nbytes + self._validation.nbytes
        fits = size <= self._settings.device_cache_mib * 2**20
        placement = find_placement(batches, self._strategy, fits)
        stages = self._state.counters.stages
        return closing(make_iterator(placement, batches, self._strategy, start, stages))

    def _train_epoch(self, iterator: BatchIterator, stop: StopRequest) -> None:
        """Train to the end of the current epoch."""
        state = self._state
        counters = state.counters
        epoch_end = (len(counters.epochs) + 1) * self._steps_per_epoch
        while counters.step < epoch_end:
            count = min(self._executions.steps, epoch_end - counters.step)
            count = state.save_schedule.limit_steps(count, counters.step)
            start = time.perf_counter()
            rates = self._compute_schedule(counters.step, count) * counters.learning_rate_factor
            sums = self._replicated.steps.train(
                iterator, counters.step, rates, numpy.array(counters.sums)
            )
            seconds = counters.record_time("steps", start)
            stop.record_duration("steps", seconds)
            if not self._executions.is_fixed:
                self._executions.record(count, *state.collectives.all_reduce_max(seconds))
            self._divergence.check_steps(len(counters.epochs), sums)
            counters.sums, counters.step = sums.tolist(), counters.step + count
            images_per_second = sums[step_sums.COUNT] / counters.stages["steps"]
            epoch = f"{len(counters.epochs) + 1}/{self._settings.epochs}"
            self._progress.advance(count, epoch, images_per_second)
            state.stop_or_save(stop, epoch_end)

    def _get_learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, as it is now."""
        return float(self._compute_schedule(step, 1)[0] * self._state.counters.learning_rate_factor)
