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
from imgcls.errors import DivergenceError
from imgcls.input.batches import (
    Examples,
    SequentialBatches,
    ShuffledBatches,
    open_training_examples,
)
from imgcls.input.iterators import BatchIterator, open_iterator
from imgcls.io.signals import StopRequest
from imgcls.io.terminal import TrainingProgress
from imgcls.run import Run
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import budget, build, history, micro_batches, recovery, step_sums
from imgcls.training.checkpoint import Checkpoints
from imgcls.training.divergence import DivergenceDetector
from imgcls.training.epoch_end import EpochEnd
from imgcls.training.execution_length import ExecutionLength
from imgcls.training.history import EpochLog
from imgcls.training.mode_comparison import ModeComparison
from imgcls.training.model_description import SoupDescription
from imgcls.training.phases import Phase, find_phase, note_phase, plan_phases
from imgcls.training.plan import count_epochs
from imgcls.training.recorder import Recorder
from imgcls.training.replicated_model import ReplicatedModel
from imgcls.training.soup import make_greedy_soup
from imgcls.training.speed_test import TrainingSetup
from imgcls.training.state import TrainingState
from imgcls.transfer.initialization import find_initializer


class Trainer:
    """Trains the model of a run, in one process or as one worker of a cluster.

    Args:
        started: when the command started, by `time.monotonic`, for `train.budget`; now unless
            given.

    Raises:
        UserError: the batch size does not suit the devices, or the image size the model; or as
            `plan_phases` and `plan_epochs`.
        OutOfMemoryError, Interrupted: as `plan_epochs`.
    """

    def __init__(
        self,
        run: Run,
        experiment: Experiment,
        store: Store,
        split: Split,
        cluster: Cluster = SINGLE_PROCESS,
        started: float | None = None,
    ):
        settings = experiment.train
        self._store = store
        self._examples, self._validation = open_training_examples(
            store, split, settings.data_workers
        )
        self._steps_per_epoch = self._examples.count_batches(settings.batch_size)
        self._strategy = build.build_strategy(settings, cluster)
        replicas = self._strategy.num_replicas_in_sync
        build.set_up_process(experiment)
        local_batch_size = micro_batches.compute_local_batch_size(
            settings, replicas, len(self._examples)
        )
        network, classes = run.find_network(), len(store.classes)
        self._replicated = ReplicatedModel(experiment, store, split, self._strategy, network)
        collectives = Collectives(self._strategy, cluster)
        if settings.budget:
            setup = TrainingSetup(
                self._strategy, self._replicated, self._examples, self._validation, classes
            )
            experiment = budget.plan_epochs(
                run, experiment, settings.budget, started, setup, collectives
            )
        self._experiment, self._settings = experiment, experiment.train
        # Without epochs, phases and schedule are those of one that is not trained.
        total_steps = max(count_epochs(self._settings), 1) * self._steps_per_epoch
        self._progress = TrainingProgress(total_steps)
        self._phases = plan_phases(self._settings, self.model, total_steps, self._steps_per_epoch)
        self._replicated.prepare_phases(self._phases)
        self._compute_schedule = build.build_schedule(experiment, total_steps)
        self._batches = ShuffledBatches(self._examples, experiment, classes, replicas)
        self._divergence = DivergenceDetector(
            self._steps_per_epoch,
            self._get_learning_rate,
            lambda step: store.get_ids(self._batches.get_indices(step)),
        )
        self._state = self._make_state(run, split, cluster, collectives, local_batch_size)
        self.recorder = self._state.recorder
        most = self._state.save_schedule.limit_steps(self._steps_per_epoch, 0)
        self._executions = ExecutionLength(self._settings.steps_per_execution, most)
        self._epoch_end = self._make_epoch_end()

    def _make_state(
        self, run: Run, split: Split, cluster: Cluster, collectives: Collectives, rows: int
    ) -> TrainingState:
        """Return the state of a new run; `rows` is the local batch size."""
        optimizer = self._replicated.optimizer
        checkpoints = Checkpoints(run, self._settings, self.model, optimizer, self._steps_per_epoch)
        return TrainingState(
            self._experiment,
            self._store,
            self._replicated,
            Recorder(run, checkpoints, cluster),
            collectives,
            self._divergence,
            rows,
            find_initializer(self.model, self._experiment, self._store, split, run),
        )

    def _make_epoch_end(self) -> EpochEnd:
        return EpochEnd(
            self._settings,
            self._replicated,
            self._divergence,
            ModeComparison(self._strategy, self._replicated, self._experiment, self._batches),
            len(self._store.classes),
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
                    self._progress.print_epoch(
                        history.format_epoch(epoch, count_epochs(self._settings))
                    )
                break
            except DivergenceError as error:
                recovery.recover_from_divergence(error, self._experiment, state)
            except tf.errors.OpError as error:
                recovery.recover_from_out_of_memory(error, self._experiment, state)
            gc.collect()  # frees the failed functions, and the images they hold on the devices
        state.require_finished(stop)
        self._replicated.start_phase(find_phase(self._phases, state.counters.step - 1))
        with self._replicated.use_validated_weights():
            soup = self._make_soup(stop) if self._settings.select_weights == "soup" else None
            self._replicated.unfreeze()
            self.recorder.write_model(
                self.model, state.counters.epochs, self._store, self._validation, soup
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
            statistics = self._open_statistics(stack, training)
            validation = self._open_validation(stack) if len(self._validation) else None
            self._executions.expect_compilation()
            stack.enter_context(self._progress.start_at(counters.step))
            while len(counters.epochs) != stop.epochs and not state.is_finished():
                self._train_epoch(training, stop)
                phase = self._start_phase(max(counters.step - 1, 0))  # new if no step was left
                start = time.perf_counter()
                learning_rate = self._get_learning_rate(counters.step - 1)
                self._epoch_end.end_epoch(
                    counters, phase, statistics, validation, learning_rate, self._executions.steps
                )
                state.save()
                stop.record_duration("end of epoch", time.perf_counter() - start)
                yield counters.epochs[-1]

    def evaluate(self, examples: Examples) -> numpy.ndarray:
        """Return the sums over examples with the validated weights, float64 (ENTRIES,)."""
        batches = SequentialBatches(examples, self._settings.batch_size)
        validated = self._replicated.use_validated_weights()
        with validated, self._make_iterator(batches, 0) as iterator:
            return self._replicated.steps.evaluate(iterator, batches.steps_per_epoch)

    def _open_statistics(self, stack: ExitStack, training: BatchIterator) -> BatchIterator | None:
        """Return the iterator that `train.precise_batch_norm` reads; None without it."""
        if not self._settings.precise_batch_norm:
            return None
        return stack.enter_context(closing(training.make_seekable()))

    def _open_validation(self, stack: ExitStack) -> BatchIterator:
        """Return an iterator over the validation split, which has images."""
        batches = SequentialBatches(self._validation, self._settings.batch_size)
        return stack.enter_context(self._make_iterator(batches, 0))

    def _make_soup(self, stop: StopRequest) -> SoupDescription:
        """Average the weights of the best epochs into the model; all workers do the same."""
        state, counters = self._state, self._state.counters
        self.recorder.finish_writing()
        state.collectives.barrier()  # until the weights are on disk
        with ExitStack() as stack:
            training = stack.enter_context(self._make_iterator(self._batches, 0))
            statistics = self._open_statistics(stack, training)
            validation = self._open_validation(stack)  # `train` refuses a soup without images in it

            def evaluate() -> tuple[float, float]:
                state.stop_if_requested(stop)
                return self._epoch_end.evaluate(counters, statistics, validation)

            return make_greedy_soup(
                history.rank_kept_epochs(counters.epochs, self._settings),
                self.recorder.read_weights,
                list(self.model.variables),
                evaluate,
                self._settings.monitor,
            )

    def _make_iterator(self, batches: SequentialBatches, start: int) -> closing[BatchIterator]:
        """Return an iterator from step `start` on; images are cached if both splits fit."""
        splits, cache = (self._examples, self._validation), self._settings.device_cache_mib
        stages = self._state.counters.stages
        return open_iterator(batches, self._strategy, splits, cache, start, stages)

    def _train_epoch(self, iterator: BatchIterator, stop: StopRequest) -> None:
        """Train to the end of the current epoch; without epochs, only measure the model."""
        state = self._state
        counters = state.counters
        if self._settings.epochs == 0:
            self._start_phase(0)
            start = time.perf_counter()
            counters.sums = self.evaluate(self._examples).tolist()
            counters.record_time("steps", start)
            return
        epoch_end = (len(counters.epochs) + 1) * self._steps_per_epoch
        while counters.step < epoch_end:
            phase = self._start_phase(counters.step)
            count = min(self._executions.steps, min(epoch_end, phase.end) - counters.step)
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
            epoch = f"{len(counters.epochs) + 1}/{count_epochs(self._settings)}"
            self._progress.advance(count, epoch, images_per_second, *step_sums.compute_means(sums))
            state.stop_or_save(stop, epoch_end)

    def _start_phase(self, step: int) -> Phase:
        """Return the phase of a step; print what it freezes if it differs from that before."""
        phase = find_phase(self._phases, step)
        if self._replicated.start_phase(phase):
            self._executions.expect_compilation()
            if self._settings.freeze or self._settings.progressive_resizing:
                note_phase(phase, self._phases[-1].end, self.model)
        return phase

    def _get_learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, as it is now; 0 without epochs."""
        if self._settings.epochs == 0:
            return 0.0
        return float(self._compute_schedule(step, 1)[0] * self._state.counters.learning_rate_factor)
