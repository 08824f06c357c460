"""One training run in one process, from its last checkpoint to its model. Heavy zone."""

import gc
import time
from collections.abc import Iterator

import numpy

from imgcls import parts
from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.distributed.cluster import SINGLE_PROCESS, Cluster
from imgcls.distributed.collectives import Collectives
from imgcls.errors import DivergenceError, EpochLimit, Interrupted
from imgcls.input.batches import SequentialBatches, ShuffledBatches, open_training_examples
from imgcls.input.iterators import InMemoryIterator, StreamingIterator
from imgcls.io import terminal
from imgcls.io.signals import StopRequest
from imgcls.io.terminal import TrainingProgress
from imgcls.run import Run
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import build, history, micro_batches, steps
from imgcls.training.checkpoint import Checkpoints, SavePlan
from imgcls.training.counters import Counters
from imgcls.training.divergence import Guard
from imgcls.training.history import EpochLog
from imgcls.training.recorder import Recorder


class Trainer:
    """Trains the model of a run, alone or as one of the processes of a cluster.

    Raises:
        UserError: the batch size does not divide among the devices, or the model does not fit the
            images.
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
        self._total_steps = self._settings.epochs * self._steps_per_epoch
        self._counters = Counters()
        self._progress = TrainingProgress(self._total_steps)
        self._save_plan = SavePlan(self._settings.checkpoint)
        self._strategy = parts.load_for("strategies", self._settings.strategy).build(
            self._settings.strategy, cluster
        )
        build.set_up_process(experiment)
        self._rows = micro_batches.compute_local_batch_size(
            self._settings, self._strategy.num_replicas_in_sync, len(self._examples)
        )
        with self._strategy.scope():
            self.model = build.build_model(experiment, store, split)
            self._optimizer, self._rate = build.build_optimizer(experiment, self._total_steps)
            self._optimizer.build(self.model.trainable_variables)
        self._plan = ShuffledBatches(
            self._examples, experiment, len(store.classes), self._strategy.num_replicas_in_sync
        )
        self._guard = Guard(self._steps_per_epoch, self._rate.after, self._ids)
        self._collectives = Collectives(self._strategy, cluster)
        others = [*self._optimizer.variables, self._rate.factor]
        checkpoints = Checkpoints(run, self._settings, self.model, others, self._steps_per_epoch)
        self._recorder = Recorder(run, checkpoints, cluster)
        self._set_accumulation_steps(
            micro_batches.count_accumulation_steps(self._settings, self._rows)
        )

    def run_to_end(self, stop: StopRequest) -> None:
        """Train from the last checkpoint to the last epoch, and write model.keras.

        Raises:
            EpochLimit: it stopped after as many epochs as `stop` says.
            Interrupted: a signal or the time limit asked to stop, here or in another process; the
                state is saved.
            DivergenceError: the loss or a weight is not finite; the last good state is kept.
        """
        self._recorder.write_environment(
            self._experiment.seed,
            [str(device) for device in self._strategy.extended.worker_devices],
        )
        self._begin()
        micro_batches.note_batch_norm(self._experiment, self._counters.accumulation_steps)
        while True:
            try:
                for epoch in self.epochs(stop):
                    self._progress.print_epoch(history.format_epoch(epoch, self._settings.epochs))
                break
            except DivergenceError as error:
                self._retry(error)
            except tf.errors.ResourceExhaustedError as error:
                self._reduce_micro_batch(error)
            gc.collect()  # the failed call's functions and the images that they hold on the devices
        if not self._is_finished():
            self._collectives.barrier()
            raise EpochLimit(
                f"stopped after epoch {stop.epochs}, as asked;"
                f" {self._recorder.advise_continuation()}"
            )
        with build.use_averaged_weights(self.model, self._optimizer):
            self._recorder.write_model(self.model, self._counters.epochs)
        self._collectives.barrier()  # no process leaves before the model is written

    def close(self) -> None:
        """End the reader processes, which TensorFlow's graph would keep while this one lives."""
        self._examples.reader.close()

    def _begin(self) -> None:
        """Take up the last state; at the start, save one to which training can go back."""
        restored = self._recorder.restore(self._rows)
        step = int(*self._collectives.all_reduce_max(-1 if restored is None else restored.step))
        if step >= 0:
            self._counters = restored or self._recorder.follow(step)
        elif self._recorder.writes:
            self._save()
        self._set_accumulation_steps(self._counters.accumulation_steps)
        self._recorder.write_log(self._counters.epochs)
        self._collectives.barrier()  # until all have read the state, which may be written anew

    def _set_accumulation_steps(self, number: int) -> None:
        """Divide each device's rows into micro-batches from now on."""
        self._counters.accumulation_steps = number
        self._steps = steps.Steps(
            self._strategy,
            self.model,
            self._optimizer,
            build.build_loss(self._experiment),
            number,
            self._settings.jit_compile,
        )

    def epochs(self, stop: StopRequest) -> Iterator[EpochLog]:
        """Train epoch after epoch from the present state; yield each one's log entry once it is
        saved.
        """
        counters, settings = self._counters, self._settings
        batches = self._make_iterator(self._plan, counters.step)
        validation = (
            self._make_iterator(SequentialBatches(self._validation, settings.batch_size), 0)
            if len(self._validation)
            else None
        )
        with self._progress.start_at(counters.step):
            while len(counters.epochs) != stop.epochs and not self._is_finished():
                self._train_epoch(batches, stop)
                began = time.perf_counter()
                self._end_epoch(validation)
                stop.record_duration("end of epoch", time.perf_counter() - began)
                yield counters.epochs[-1]

    def _is_finished(self) -> bool:
        done, settings = self._counters.epochs, self._settings
        return len(done) >= settings.epochs or history.should_stop(done, settings.early_stopping)

    def _make_iterator(self, plan: SequentialBatches, start: int) -> steps.BatchIterator:
        """Return an iterator over a plan's batches from a step on; both splits share the cache."""
        fits = (
            self._examples.nbytes + self._validation.nbytes
            <= self._settings.device_cache_mib * 2**20
        )
        if fits and not plan.crops_on_read:
            return InMemoryIterator(plan, self._strategy)
        return StreamingIterator(plan, self._strategy, start, self._counters.stages)

    def _train_epoch(self, batches: steps.BatchIterator, stop: StopRequest) -> None:
        """Take the steps that the present epoch still lacks."""
        counters = self._counters
        epoch_end = (len(counters.epochs) + 1) * self._steps_per_epoch
        while counters.step < epoch_end:
            count = self._save_plan.limit(
                min(self._settings.steps_per_execution, epoch_end - counters.step), counters.step
            )
            start = time.perf_counter()
            sums = self._steps.train(batches, counters.step, count, numpy.array(counters.sums))
            stop.record_duration("steps", counters.add("steps", start))
            self._guard.check_steps(len(counters.epochs), sums)
            counters.sums, counters.step = sums.tolist(), counters.step + count
            images_per_second = sums[steps.COUNT] / counters.stages["steps"]
            self._progress.advance(
                count, f"{len(counters.epochs) + 1}/{self._settings.epochs}", images_per_second
            )
            self._check_requests(stop, epoch_end)

    def _check_requests(self, stop: StopRequest, epoch_end: int) -> None:
        """Between two calls of the device: stop if any process is asked to, and save if that is
        due.
        """
        reason = stop.reason
        stopping, due = self._collectives.all_reduce_max(
            reason is not None, self._save_plan.is_due(self._counters.step)
        )
        if stopping:
            self._save()
            self._collectives.barrier()  # no process leaves before the state is saved
            raise Interrupted(
                f"{reason or 'stopped with another worker'} at step {self._counters.step};"
                f" {self._recorder.advise_continuation()}"
            )
        if due and self._counters.step < epoch_end:
            self._save()

    def _retry(self, error: DivergenceError) -> None:
        """Go back to the last good state with a lower learning rate, or raise the error where that
        is not wanted or did not help.
        """
        policy = self._settings.on_divergence
        if policy is None or error.details is None:
            raise error
        self._begin()
        if len(self._counters.retries) >= policy.retries:
            raise DivergenceError(
                f"{error}; the {policy.retries} retries of train.on_divergence are used up",
                error.details,
            )
        self._rate.lower(policy.learning_rate_factor)
        count = self._counters.add_retry(error.details, float(self._rate.factor.value.numpy()))
        self._save()
        terminal.note(
            f"{error}; going back to step {self._counters.step} with"
            f" {policy.learning_rate_factor:g} times the learning rate (retry {count} of"
            f" {policy.retries})"
        )

    def _reduce_micro_batch(self, error: tf.errors.ResourceExhaustedError) -> None:
        """Go back to the last good state with smaller micro-batches on all devices, or give up
        where they hold one image.
        """
        stopped_at, rows = self._counters.step, self._rows
        smaller = micro_batches.increase_accumulation_steps(
            rows, self._counters.accumulation_steps, error
        )
        size = rows // smaller
        if not self._collectives.is_single:
            self._recorder.request_accumulation_steps(smaller)
            raise micro_batches.make_restart_error(error, size)
        self._begin()
        self._set_accumulation_steps(smaller)
        self._save()
        terminal.note(
            f"out of memory after step {stopped_at}; going on from step {self._counters.step} in"
            f" micro-batches of {size}"
        )
        micro_batches.note_batch_norm(self._experiment, smaller)

    def _ids(self, step: int) -> list[str]:
        """Return the ids of the images of a step, counted from 0."""
        positions, weights = self._plan.compute_positions(step)
        return self._store.ids(self._examples.indices[positions[weights > 0]])

    def _end_epoch(self, validation: steps.BatchIterator | None) -> None:
        """Evaluate the model on the validation split, log the epoch, and save."""
        counters, plateau = self._counters, self._settings.plateau
        self._guard.check_weights(self.model.variables, counters.step)
        with build.use_averaged_weights(self.model, self._optimizer):
            val_loss, val_accuracy = self._validate(validation)
            updates = int(self._optimizer.iterations.value.numpy())
            counters.end_epoch(val_loss, val_accuracy, self._rate.after(max(updates - 1, 0)))
            start = time.perf_counter()
            self._recorder.save_best(counters.epochs)
            counters.add("saving", start)
        if plateau and history.reaches_plateau(counters.epochs, plateau):
            self._rate.lower(plateau.factor)
        self._save()
        self._recorder.write_log(counters.epochs)

    def _validate(self, batches: steps.BatchIterator | None) -> tuple[float | None, float | None]:
        """Return loss and accuracy on the validation split, where there is one."""
        if batches is None:
            return None, None
        start = time.perf_counter()
        sums = self._steps.evaluate(
            batches, self._validation.count_batches(self._settings.batch_size)
        )
        self._counters.add("validation", start)
        loss, accuracy = steps.compute_means(sums)
        self._guard.check_validation(loss, len(self._counters.epochs) + 1)
        return loss, accuracy

    def _save(self) -> None:
        self._guard.check_weights(self.model.variables, self._counters.step)
        start = time.perf_counter()
        self._recorder.save(self._counters)
        self._counters.add("saving", start)
        self._save_plan.mark_saved()
