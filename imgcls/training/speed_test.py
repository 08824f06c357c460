"""Measures the speed of a training before it starts, for `train.budget`. Heavy zone."""

import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import numpy

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.input.batches import Examples, SequentialBatches, ShuffledBatches
from imgcls.input.iterators import BatchIterator, open_iterator
from imgcls.training import checkpoint_file, history, micro_batches, step_sums
from imgcls.training.mode_comparison import ModeComparison
from imgcls.training.phases import plan_phases
from imgcls.training.plan import Speed, count_epochs
from imgcls.training.replicated_model import ReplicatedModel

MEASURED_SECONDS = 3.0
"""How long training steps are measured for, at most; at least two are."""
MEASURED_FRACTION = 0.02
"""The same as a fraction of the budget."""


class SpeedTest:
    """Runs training steps and a validation pass, whose changes it undoes.

    Args:
        experiment: with any number of epochs.
    """

    def __init__(
        self,
        experiment: Experiment,
        strategy: tf.distribute.Strategy,
        replicated: ReplicatedModel,
        examples: Examples,
        validation: Examples,
        classes: int,
    ):
        self._settings = experiment.train
        self._strategy = strategy
        self._replicated = replicated
        self._splits = examples, validation
        steps_per_epoch = examples.count_batches(self._settings.batch_size)
        total_steps = count_epochs(self._settings) * steps_per_epoch
        self._phases = plan_phases(self._settings, replicated.model, total_steps, steps_per_epoch)
        replicas = strategy.num_replicas_in_sync
        self._batches = ShuffledBatches(examples, experiment, classes, replicas)
        self._validation = SequentialBatches(validation, self._settings.batch_size)
        self._comparison = ModeComparison(strategy, replicated, experiment, self._batches)

    def measure(self, started: float, budget: float, folder: Path) -> Speed:
        """Return the speed of this process.

        Args:
            started: when the command started, by `time.monotonic`, in seconds.
            budget: in seconds.
            folder: where checkpoints will be written.
        """
        variables = [*self._replicated.model.variables, *self._replicated.optimizer.variables]
        snapshot = checkpoint_file.take_snapshot(variables)
        rows = self._settings.batch_size // self._strategy.num_replicas_in_sync
        accumulation_steps = micro_batches.count_accumulation_steps(self._settings, rows)
        self._replicated.compile_steps(accumulation_steps)
        # The last one, in which the most layers are trained, and images have their full size.
        self._replicated.start_phase(self._phases[-1])
        with ExitStack() as stack:
            training = stack.enter_context(self._open(self._batches))
            compilation, step = self._time_steps(
                training, min(MEASURED_SECONDS, MEASURED_FRACTION * budget)
            )
            with self._replicated.use_validated_weights():
                more, epoch_end = self._time_epoch_end(stack, training, accumulation_steps)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=folder, prefix=".model-") as scratch:
            checkpoint_file.write(Path(scratch) / "state.npz", snapshot, None)
        saving = time.perf_counter() - start
        self._replicated.unfreeze()
        for variable, value in zip(variables, snapshot.arrays, strict=True):
            variable.assign(value)
        return Speed(
            startup=time.monotonic() - started,
            compilation=compilation * len(self._phases) + more,
            step=step,
            epoch_end=epoch_end + saving,
        )

    def _open(self, batches: SequentialBatches) -> closing[BatchIterator]:
        cache, stages = self._settings.device_cache_mib, dict.fromkeys(history.STAGES, 0.0)
        return open_iterator(batches, self._strategy, self._splits, cache, 0, stages)

    def _time_steps(self, iterator: BatchIterator, limit: float) -> tuple[float, float]:
        """Return what compiling took, and a step, in seconds."""
        step, count, total, times = 0, 1, 0.0, []
        while step < 3 or total < limit:
            start = time.perf_counter()
            rates = numpy.full(count, self._settings.optimizer.learning_rate)
            self._replicated.steps.train(iterator, step, rates, step_sums.make_zeros())
            times.append((time.perf_counter() - start, count))
            total = sum(seconds for seconds, _ in times[1:])
            step += count
            count = min(2 * count, self._batches.steps_per_epoch)
        per_step = total / sum(number for _, number in times[1:])
        return max(times[0][0] - per_step, 0.0), per_step

    def _time_epoch_end(
        self, stack: ExitStack, training: BatchIterator, accumulation_steps: int
    ) -> tuple[float, float]:
        """Return what compiling took, and the end of an epoch, in seconds."""
        begin = time.perf_counter()
        precise, statistics = (
            self._settings.precise_batch_norm,
            self._replicated.batch_norm_statistics,
        )
        validation = seekable = None
        if self._validation.steps_per_epoch:
            validation = stack.enter_context(self._open(self._validation))
            self._replicated.steps.evaluate(validation, 1)
        self._comparison.compute(0, accumulation_steps)
        if precise and statistics:
            seekable = stack.enter_context(closing(training.make_seekable()))
            seekable.seek(0)
            statistics.estimate(seekable, 0, 1)
        start = time.perf_counter()
        if precise and statistics and seekable:
            seekable.seek(0)
            statistics.estimate(seekable, 0, precise.batches)
        if validation:
            self._replicated.steps.evaluate(validation, self._validation.steps_per_epoch)
        self._comparison.compute(0, accumulation_steps)
        return start - begin, time.perf_counter() - start
