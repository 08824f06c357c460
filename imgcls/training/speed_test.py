"""Measures the speed of a training before it starts, for `train.budget`. Heavy zone."""

import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.input.batches import Examples, SequentialBatches, ShuffledBatches
from imgcls.input.iterators import BatchIterator, open_iterator
from imgcls.training import checkpoint_file, history, step_sums
from imgcls.training.mode_comparison import ModeComparison
from imgcls.training.phases import find_kinds, plan_phases
from imgcls.training.plan import Measurement, count_epochs
from imgcls.training.replicated_model import ReplicatedModel

MEASURED_SECONDS = 3.0
"""How long training steps are measured for, at most; of each kind of phase, at least two are."""
MEASURED_FRACTION = 0.02
"""The same as a fraction of the budget."""


@dataclass(frozen=True)
class TrainingSetup:
    """What a training runs on.

    Attributes:
        examples: of the training split.
        validation: of the validation split, which may be empty.
        classes: their number.
    """

    strategy: tf.distribute.Strategy
    replicated: ReplicatedModel
    examples: Examples
    validation: Examples
    classes: int


class SpeedTest:
    """Runs training steps of each kind of phase, and a validation pass.

    Args:
        experiment: with any number of epochs.
        budget: in seconds; a fraction of it is spent.

    Attributes:
        phases: one of each kind, in order.

    Raises:
        UserError: as `plan_phases` and `ReplicatedModel.prepare_phases`.
    """

    def __init__(self, experiment: Experiment, setup: TrainingSetup, budget: float):
        self._budget = budget
        self._settings = experiment.train
        self._strategy = strategy = setup.strategy
        self._replicated = replicated = setup.replicated
        self._splits = examples, validation = setup.examples, setup.validation
        steps_per_epoch = examples.count_batches(self._settings.batch_size)
        total_steps = count_epochs(self._settings) * steps_per_epoch
        phases = plan_phases(self._settings, replicated.model, total_steps, steps_per_epoch)
        replicated.prepare_phases(phases)
        self.phases = find_kinds(phases)
        replicas = strategy.num_replicas_in_sync
        self._batches = ShuffledBatches(examples, experiment, setup.classes, replicas)
        self._validation = SequentialBatches(validation, self._settings.batch_size)
        self._comparison = ModeComparison(strategy, replicated, experiment, self._batches)
        self._variables = [*replicated.model.variables, *replicated.optimizer.variables]
        self._snapshot = checkpoint_file.take_snapshot(self._variables)

    def measure(self, started: float, folder: Path, accumulation_steps: int) -> Measurement:
        """Return the speed of this process, and undo what the steps have changed.

        Args:
            started: when the command started, by `time.monotonic`, in seconds.
            folder: where checkpoints will be written.
            accumulation_steps: micro-batches per device and step.

        Raises:
            tf.errors.OpError: such as that memory ran out. Measuring again undoes what was changed.
        """
        self._replicated.compile_steps(accumulation_steps)
        with ExitStack() as stack:
            training = stack.enter_context(self._open(self._batches))
            compilation, steps = self._time_phases(training)
            with self._replicated.use_validated_weights():
                more, epoch_end = self._time_epoch_end(stack, training, accumulation_steps)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=folder, prefix=".model-") as scratch:
            checkpoint_file.write(Path(scratch) / "state.npz", self._snapshot, None)
        saving = time.perf_counter() - start
        self._undo()
        return Measurement(
            startup=time.monotonic() - started,
            compilation=compilation + more,
            epoch_end=epoch_end + saving,
            steps=steps,
        )

    def _undo(self) -> None:
        """Let all variables and layers be as they were at first."""
        self._replicated.unfreeze()
        for variable, value in zip(self._variables, self._snapshot.arrays, strict=True):
            variable.assign(value)

    def _open(self, batches: SequentialBatches) -> closing[BatchIterator]:
        cache, stages = self._settings.device_cache_mib, dict.fromkeys(history.STAGES, 0.0)
        return open_iterator(batches, self._strategy, self._splits, cache, 0, stages)

    def _time_phases(self, iterator: BatchIterator) -> tuple[float, tuple[float, ...]]:
        """Return what compiling all phases took, and a step of each, in seconds."""
        limit = min(MEASURED_SECONDS, MEASURED_FRACTION * self._budget) / len(self.phases)
        step, compilation, seconds = 0, 0.0, []
        for phase in self.phases:
            self._replicated.start_phase(phase)
            step, compiling, of_step = self._time_steps(iterator, step, limit)
            compilation += compiling
            seconds.append(of_step)
        return compilation, tuple(seconds)

    def _time_steps(
        self, iterator: BatchIterator, first: int, limit: float
    ) -> tuple[int, float, float]:
        """Return the next step, and what compiling took, and a step, in seconds."""
        step, count, total, times = first, 1, 0.0, []
        while step < first + 3 or total < limit:
            start = time.perf_counter()
            rates = numpy.full(count, self._settings.optimizer.learning_rate)
            self._replicated.steps.train(iterator, step, rates, step_sums.make_zeros())
            times.append((time.perf_counter() - start, count))
            total = sum(seconds for seconds, _ in times[1:])
            step += count
            count = min(2 * count, self._batches.steps_per_epoch)
        per_step = total / sum(number for _, number in times[1:])
        return step, max(times[0][0] - per_step, 0.0), per_step

    def _time_epoch_end(
        self, stack: ExitStack, training: BatchIterator, accumulation_steps: int
    ) -> tuple[float, float]:
        """Return what compiling took, and the end of an epoch, in seconds."""
        begin = time.perf_counter()
        precise = self._settings.precise_batch_norm
        statistics = self._replicated.batch_norm_statistics
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
