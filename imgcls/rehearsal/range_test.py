"""The learning-rate range test: trains while the learning rate rises, until the loss explodes.
Heavy zone.
"""

import math
from contextlib import ExitStack

import numpy

from imgcls.config import Experiment
from imgcls.io import terminal
from imgcls.optimizers import OptimizerSettings
from imgcls.rehearsal import learning_rate_test
from imgcls.rehearsal.learning_rate_test import LearningRateTest, LossAverage
from imgcls.rehearsal.short_training import ShortTraining, run_with_less_memory
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import step_sums

MIN_FACTOR, MAX_FACTOR = 1e-4, 1e3
"""The range of learning rates, as factors on the optimizer's default: for SGD, 1e-5 to 100, for
Adam, 1e-7 to 1. Optimizers that normalize their steps, such as Muon and Lion, have other defaults,
which this range follows."""
MIN_STEPS, MAX_STEPS = 100, 300
"""The test takes one epoch, within these numbers of steps."""


def run(experiment: Experiment, store: Store, split: Split) -> LearningRateTest:
    """Train a new model with learning rates that rise exponentially.

    The images, their order and augmentation, and the initial weights are those of a run's first
    steps. Neither the schedule nor EMA is used, nor anything at the end of an epoch.

    Raises:
        UserError: as `ShortTraining`.
        OutOfMemoryError: as `run_with_less_memory`.
    """
    return run_with_less_memory(experiment, lambda each: _test(each, store, split))


def get_default_learning_rate(settings: OptimizerSettings) -> float:
    """Return the default learning rate of an optimizer."""
    return float(type(settings).model_fields["learning_rate"].default)


def _get_factor(experiment: Experiment) -> float:
    """Return the factor of `train.learning_rate_scaling` on the learning rates."""
    scaling = experiment.train.learning_rate_scaling
    return scaling.compute_factor(experiment.train.batch_size) if scaling else 1.0


def _test(experiment: Experiment, store: Store, split: Split) -> LearningRateTest:
    with ExitStack() as stack:
        training = ShortTraining(experiment, store, split, stack)
        count = min(max(training.steps_per_epoch, MIN_STEPS), MAX_STEPS)
        default = get_default_learning_rate(experiment.train.optimizer)
        rates = default * numpy.geomspace(MIN_FACTOR, MAX_FACTOR, count)
        losses, average, stopped = _raise_learning_rate(training, rates, _get_factor(experiment))
    tested = rates[: len(losses)].tolist()
    minimum = learning_rate_test.find_minimum(average.values)
    steepest = learning_rate_test.find_steepest(tested, average.values)
    both = None if minimum is None or steepest is None else (tested[steepest], tested[minimum] / 10)
    return LearningRateTest(
        experiment=experiment.name,
        seed=experiment.seed,
        fingerprint=store.fingerprint,
        optimizer=experiment.train.optimizer.name,
        batch_size=experiment.train.batch_size,
        accumulation_steps=training.accumulation_steps,
        steps_per_epoch=training.steps_per_epoch,
        planned_steps=count,
        stopped=stopped,
        learning_rates=tested,
        losses=losses,
        smoothed=average.values,
        steepest=both[0] if both else None,
        minimum_tenth=both[1] if both else None,
        suggested=min(both) if both else None,
        current=experiment.train.optimizer.learning_rate,
    )


def _raise_learning_rate(
    training: ShortTraining, rates: numpy.ndarray, factor: float
) -> tuple[list[float], LossAverage, str]:
    """Train a step with each learning rate; return the losses, their averages, and why it stopped.

    A loss or gradient that is not finite stops it; the loss is left out.

    Args:
        rates: as `train.optimizer.learning_rate` states them, float64 (steps,).
        factor: on each of them.
    """
    losses: list[float] = []
    average = LossAverage()
    for step in terminal.track(range(len(rates)), len(rates), "learning rates"):
        sums = training.train(step, factor * rates[step : step + 1])
        loss, _ = step_sums.compute_means(sums)
        at = f"at a learning rate of {rates[step]:.3g}"
        if not math.isfinite(loss):
            return losses, average, f"the loss is not finite {at}"
        losses.append(loss)
        average.add(loss)
        if sums[step_sums.NONFINITE_GRADIENTS]:
            return losses, average, f"a gradient is not finite {at}"
        if average.has_exploded():
            times = learning_rate_test.MAX_LOSS_RATIO
            return losses, average, f"the loss is {times:g} times its minimum {at}"
    return losses, average, ""
