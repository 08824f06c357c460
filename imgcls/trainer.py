"""One training run in one process, from its last checkpoint to its model. Heavy zone."""

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy

from imgcls import building, environment, files, history, loop, memory, parts, saving, terminal
from imgcls.backend import SWITCHES, tf
from imgcls.checkpoint import Checkpoints, Counters
from imgcls.config import Experiment
from imgcls.divergence import Guard
from imgcls.errors import DivergenceError, EpochLimit, Interrupted, OutOfMemoryError
from imgcls.feeds import Resident, Streamed
from imgcls.pipeline import Examples, InOrder, Shuffled
from imgcls.run import Run
from imgcls.signals import StopRequest
from imgcls.store import Split, Store
from imgcls.terminal import TrainingProgress


class Trainer:
    """Trains the model of a run.

    Raises:
        UserError: the batch size does not divide among the devices, or the model does not fit the images.
    """

    def __init__(self, run: Run, experiment: Experiment, store: Store, split: Split):
        self._run = run
        self._experiment = experiment
        self._settings = experiment.train
        self._store = store
        images = numpy.asarray(store.images)  # still the mapped file, without the cost of a memmap object for every batch
        self._examples = Examples(images, store.labels, split.train)
        self._validation = Examples(images, store.labels, split.validation)
        self._steps_per_epoch = self._examples.steps(self._settings.batch_size)
        self._total_steps = self._settings.epochs * self._steps_per_epoch
        self._counters = Counters()
        self._progress = TrainingProgress(self._total_steps)
        self._saved_at = time.monotonic()
        building.start_deterministically(experiment)
        self._strategy = parts.of("strategies", self._settings.strategy).build(self._settings.strategy)
        memory.check_batch_size(self._settings, self._strategy.num_replicas_in_sync, len(self._examples))
        with self._strategy.scope():
            self.model = building.build_model(experiment, store, split)
            self._optimizer, self._rate = building.build_optimizer(experiment, self._total_steps)
            self._optimizer.build(self.model.trainable_variables)
        self._plan = Shuffled(self._examples, experiment)
        self._guard = Guard(self._steps_per_epoch, self._learning_rate, self._ids)
        others = [*self._optimizer.variables, self._rate.factor]
        self._checkpoints = Checkpoints(run, self._settings, self.model, others, self._steps_per_epoch)
        self._counters.parts = memory.parts(experiment.train, self._strategy.num_replicas_in_sync)
        self._steps = loop.Steps(self._strategy, self.model, self._optimizer, self._counters.parts)

    def run_to_end(self, stop: StopRequest) -> None:
        """Train from the last checkpoint to the last epoch, and write model.keras.

        Raises:
            EpochLimit: it stopped after as many epochs as `stop` says.
            Interrupted: a signal or the time limit asked to stop; the state is saved.
            DivergenceError: the loss or a weight is no finite number; the last good state is kept.
        """
        self._write_environment()
        self._begin()
        while True:
            try:
                for epoch in self.epochs(stop):
                    self._progress.epoch(history.epoch_line(epoch, self._settings.epochs))
                break
            except DivergenceError as error:
                self._retry(error)
            except tf.errors.ResourceExhaustedError as error:
                self._divide(error)
        if not self._is_finished():
            raise EpochLimit(f"stopped after epoch {stop.epochs}, as asked; {self._how_to_continue()}")
        self._write_model()

    def _begin(self) -> None:
        """Take up the last state; at the start, save one to which training can go back."""
        restored = self._checkpoints.restore()
        if restored is None:
            self._save()
        else:
            self._counters = restored
        self._steps = loop.Steps(self._strategy, self.model, self._optimizer, self._counters.parts)
        self._write_log()

    def epochs(self, stop: StopRequest) -> Iterator[dict[str, Any]]:
        """Train epoch after epoch from the present state; yield each one's log entry once it is saved."""
        counters, settings = self._counters, self._settings
        batches = self._feed(self._plan, counters.step)
        validation = self._feed(InOrder(self._validation, settings.batch_size), 0) if len(self._validation) else None
        with self._progress.starting_at(counters.step):
            while len(counters.epochs) != stop.epochs and not self._is_finished():
                self._train_epoch(batches, stop)
                began = time.perf_counter()
                self._end_epoch(validation)
                stop.took("end of epoch", time.perf_counter() - began)
                yield counters.epochs[-1]

    def _is_finished(self) -> bool:
        epochs = self._counters.epochs
        return len(epochs) >= self._settings.epochs or history.should_stop(epochs, self._settings.early_stopping)

    def _write_environment(self) -> None:
        devices = [str(device) for device in self._strategy.extended.worker_devices]
        earlier = []
        if self._run.environment_file.exists():
            previous = files.read_json(self._run.environment_file)
            earlier = [*previous.pop("earlier_starts"), previous]
        files.write_json(
            self._run.environment_file, {**environment.describe(self._experiment.seed, devices, SWITCHES), "earlier_starts": earlier}
        )

    def _feed(self, plan: InOrder, start: int) -> loop.Feed:
        """Return a feed of a plan's batches from a step on; the two splits share the cache."""
        if self._examples.nbytes + self._validation.nbytes <= self._settings.device_cache_mib * 2**20:
            return Resident(plan, self._strategy)
        return Streamed(plan, self._strategy, start)

    def _train_epoch(self, batches: loop.Feed, stop: StopRequest) -> None:
        """Take the steps that the present epoch still lacks."""
        counters = self._counters
        epoch_end = (len(counters.epochs) + 1) * self._steps_per_epoch
        while counters.step < epoch_end:
            count = self._steps_to_next_stop(epoch_end)
            start = time.perf_counter()
            sums = self._steps.train(batches, counters.step, count, numpy.array(counters.sums))
            seconds = time.perf_counter() - start
            counters.seconds += seconds
            stop.took("steps", seconds)
            self._guard.check_steps(len(counters.epochs), sums)
            counters.sums, counters.step = sums.tolist(), counters.step + count
            self._progress.advance(count, f"{len(counters.epochs) + 1}/{self._settings.epochs}", sums[loop.COUNT] / counters.seconds)
            reason = stop.reason
            if reason is not None:
                self._save()
                raise Interrupted(f"{reason} at step {counters.step}; {self._how_to_continue()}")
            if counters.step < epoch_end and self._save_is_due():
                self._save()

    def _how_to_continue(self) -> str:
        return f"the state is saved, continue with: imgcls train {self._run.config_file} --run {self._run.folder}"

    def _steps_to_next_stop(self, epoch_end: int) -> int:
        """Return how many steps to take in one call: up to the epoch's end and the next checkpoint."""
        count = min(self._settings.steps_per_call, epoch_end - self._counters.step)
        every = self._settings.checkpoint.steps
        return min(count, every - self._counters.step % every) if every else count

    def _save_is_due(self) -> bool:
        every, minutes = self._settings.checkpoint.steps, self._settings.checkpoint.minutes
        by_steps = every is not None and self._counters.step % every == 0
        by_time = minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes
        return by_steps or by_time

    def _retry(self, error: DivergenceError) -> None:
        """Go back to the last good state with a lower learning rate, or raise the error where that is not wanted or did not help."""
        policy = self._settings.on_divergence
        diverged_at = self._counters.step
        if policy is None:
            raise error
        self._begin()
        if len(self._counters.retries) >= policy.retries:
            raise error
        self._rate.factor.assign(self._rate.factor * policy.learning_rate_factor)
        self._counters.retries.append({**error.details, "learning_rate_factor": float(self._rate.factor.value.numpy())})
        self._save()
        terminal.note(
            f"{error}; going back from step {diverged_at} to {self._counters.step} with {policy.learning_rate_factor:g} times the "
            f"learning rate (retry {len(self._counters.retries)} of {policy.retries})"
        )

    def _divide(self, error: tf.errors.ResourceExhaustedError) -> None:
        """Go back to the last good state with smaller micro-batches on all devices, or give up where they hold one image."""
        stopped_at, rows = self._counters.step, self._settings.batch_size // self._strategy.num_replicas_in_sync
        smaller = memory.more_parts(rows, self._counters.parts, error)
        self._begin()
        self._counters.parts = smaller
        self._steps = loop.Steps(self._strategy, self.model, self._optimizer, smaller)
        self._save()
        terminal.note(
            f"out of memory after step {stopped_at}; going on from step {self._counters.step} in micro-batches of {rows // smaller}"
        )

    def _learning_rate(self, steps: int) -> float:
        """Return the rate of the step after `steps` updates; steps that the loss scale skipped are none."""
        return float(self._rate(steps))

    def _ids(self, steps: int) -> list[str]:
        """Return the ids of the images of the step after `steps` steps."""
        positions, weights = self._plan.positions(steps)
        return self._store.ids(self._examples.indices[positions[weights > 0]])

    def _end_epoch(self, validation: loop.Feed | None) -> None:
        """Judge the model on the validation split, log the epoch, and save."""
        counters, sums = self._counters, self._counters.sums
        start = time.perf_counter()
        val_loss, val_accuracy = self._validate(validation) if validation is not None else (None, None)
        epoch = {
            "epoch": len(counters.epochs) + 1,
            "step": counters.step,
            "loss": sums[loop.LOSS] / sums[loop.COUNT],
            "accuracy": sums[loop.CORRECT] / sums[loop.COUNT],
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "learning_rate": self._learning_rate(max(int(self._optimizer.iterations.value.numpy()) - 1, 0)),
            "seconds": counters.seconds + time.perf_counter() - start,
            "images_per_second": sums[loop.COUNT] / counters.seconds,
            "input_wait": min(sums[loop.WAIT] / counters.seconds, 1.0),
        }
        self._guard.check_weights(self.model.variables, counters.step)
        self._guard.check_validation(val_loss, epoch["epoch"])
        counters.epochs.append(epoch)
        counters.sums, counters.seconds = loop.no_sums().tolist(), 0.0
        self._checkpoints.save_best(counters.epochs)
        self._save()
        self._write_log()

    def _validate(self, batches: loop.Feed) -> tuple[float, float]:
        sums = self._steps.evaluate(batches, self._validation.steps(self._settings.batch_size))
        return float(sums[loop.LOSS] / sums[loop.COUNT]), float(sums[loop.CORRECT] / sums[loop.COUNT])

    def _save(self) -> None:
        self._guard.check_weights(self.model.variables, self._counters.step)
        self._checkpoints.save(self._counters)
        self._saved_at = time.monotonic()
        self._run.write_status("running", step=self._counters.step, retries=self._counters.retries, micro_batches=self._counters.parts)

    def _write_log(self) -> None:
        files.write_text(self._run.log_file, "".join(json.dumps(epoch, allow_nan=False) + "\n" for epoch in self._counters.epochs))

    def _write_model(self) -> None:
        self._checkpoints.load_chosen(self._counters.epochs)
        saving.save(saving.serving_model(self.model), self._run.model_file)


def train(run: Run, experiment: Experiment, store: Store, split: Split, stop: StopRequest) -> None:
    """Train a run to its end, as `Trainer.run_to_end` does.

    Raises:
        OutOfMemoryError: the model, or a step on one image, does not fit the device.
    """
    try:
        Trainer(run, experiment, store, split).run_to_end(stop)
    except tf.errors.ResourceExhaustedError as error:
        raise OutOfMemoryError(f"out of memory while the model was made ({memory.reason(error)}); use a smaller model") from None
