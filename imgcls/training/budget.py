"""Plans the epochs of a run with `train.budget`. Heavy zone."""

import gc
import time
from functools import partial

from imgcls.backend import keras, tf
from imgcls.config import Experiment
from imgcls.distributed.collectives import Collectives
from imgcls.durations import Duration
from imgcls.errors import UserError
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.training import accumulation_request, micro_batches, recovery
from imgcls.training.phases import Kind, plan_phases
from imgcls.training.plan import Measurement, apply_plan, make_plan, read_plan
from imgcls.training.speed_test import SpeedTest, TrainingSetup

TRIAL_EPOCHS = 1000
"""The number of epochs while none is planned; no duration in epochs should be longer."""


def plan_epochs(
    run: Run,
    experiment: Experiment,
    budget: Duration,
    started: float | None,
    setup: TrainingSetup,
    collectives: Collectives,
) -> Experiment:
    """Return an experiment with the epochs that fit its budget, which are planned once for a run.

    If memory runs out meanwhile, it also has the smaller micro-batches that fit.

    Args:
        budget: `train.budget`.
        started: when the command started, by `time.monotonic`, in seconds; None for now.

    Raises:
        UserError: not one epoch fits, or a duration in epochs is longer than the training.
        OutOfMemoryError, Interrupted: as `recovery.divide_batches`.
    """
    started = time.monotonic() if started is None else started
    local_batch_size = experiment.train.batch_size // setup.strategy.num_replicas_in_sync
    requested = accumulation_request.read_request(run, local_batch_size)
    if requested:
        experiment = micro_batches.set_micro_batch_size(experiment, local_batch_size // requested)
    if recorded := read_plan(run):
        return apply_plan(experiment, recorded.epochs)
    trial = apply_plan(experiment, TRIAL_EPOCHS)
    test = SpeedTest(trial, setup, budget.seconds)
    measured, experiment = _measure(test, run, experiment, started, local_batch_size, collectives)
    measured = _find_slowest(measured, collectives)
    steps_per_epoch = setup.examples.count_batches(experiment.train.batch_size)
    times = {phase.kind: step for phase, step in zip(test.phases, measured.steps, strict=True)}
    count = partial(_count_seconds, experiment, setup.replicated.model, steps_per_epoch, times)
    plan = make_plan(budget, measured, steps_per_epoch, count)
    planned = apply_plan(experiment, plan.epochs)
    if collectives.is_chief:
        write_record(run.plan_file, plan)
    collectives.barrier()  # until the plan is there, which other starts read
    terminal.note(f"train.budget {budget}: {plan.describe()}")
    return planned


def _measure(
    test: SpeedTest,
    run: Run,
    experiment: Experiment,
    started: float,
    local_batch_size: int,
    collectives: Collectives,
) -> tuple[Measurement, Experiment]:
    """Return the speed of this process, and the experiment with micro-batches for which the memory
    suffices.
    """
    while True:
        number = micro_batches.count_accumulation_steps(experiment.train, local_batch_size)
        try:
            return test.measure(started, run.folder, number), experiment
        except tf.errors.OpError as error:
            number = recovery.divide_batches(
                error,
                local_batch_size,
                number,
                partial(accumulation_request.write_request, run),
                is_single=collectives.is_single,
            )
        gc.collect()  # frees the failed functions, and the images they hold on the devices
        size = local_batch_size // number
        terminal.note(
            f"out of memory while measuring the speed; continuing with micro-batches of {size}"
        )
        experiment = micro_batches.set_micro_batch_size(experiment, size)


def _find_slowest(own: Measurement, collectives: Collectives) -> Measurement:
    """Return the speed of the slowest worker, the same on all of them."""
    numbers = own.startup, own.compilation, own.epoch_end, *own.steps
    startup, compilation, epoch_end, *steps = collectives.all_reduce_max(*numbers)
    return Measurement(startup, compilation, epoch_end, tuple(steps))


def _count_seconds(
    experiment: Experiment,
    model: keras.Model,
    steps_per_epoch: int,
    times: dict[Kind, float],
    epochs: int,
) -> float:
    """Return what the training steps of a number of epochs take, in seconds.

    Args:
        times: of a step of each kind of phase that was measured; others take as long as the
            slowest.
    """
    total, slowest = epochs * steps_per_epoch, max(times.values())
    try:
        settings = apply_plan(experiment, epochs).train
        phases = plan_phases(settings, model, total, steps_per_epoch)
    except UserError:  # a duration is longer, which is an error if no more epochs fit
        return total * min(times.values())
    return sum((phase.end - phase.start) * times.get(phase.kind, slowest) for phase in phases)
