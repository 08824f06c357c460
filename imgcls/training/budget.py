"""Plans the epochs of a run with `train.budget`. Heavy zone."""

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.distributed.collectives import Collectives
from imgcls.durations import Duration
from imgcls.input.batches import Examples
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.training.plan import Speed, apply_plan, make_plan, read_plan
from imgcls.training.replicated_model import ReplicatedModel
from imgcls.training.speed_test import SpeedTest

TRIAL_EPOCHS = 1000
"""The number of epochs while none is planned; no duration in epochs should be longer."""


def plan_epochs(
    run: Run,
    experiment: Experiment,
    budget: Duration,
    started: float,
    strategy: tf.distribute.Strategy,
    replicated: ReplicatedModel,
    examples: Examples,
    validation: Examples,
    classes: int,
    collectives: Collectives,
) -> Experiment:
    """Return an experiment with the epochs that fit its budget, which are planned once for a run.

    Args:
        budget: `train.budget`.
        started: when the command started, by `time.monotonic`, in seconds.
        examples: of the training split.

    Raises:
        UserError: not one epoch fits, or a duration in epochs is longer than the training.
    """
    if recorded := read_plan(run):
        return apply_plan(experiment, recorded.epochs)
    test = SpeedTest(
        apply_plan(experiment, TRIAL_EPOCHS),
        strategy,
        replicated,
        examples,
        validation,
        classes,
    )
    speed = _find_slowest(test.measure(started, budget.seconds, run.folder), collectives)
    plan = make_plan(budget, speed, examples.count_batches(experiment.train.batch_size))
    planned = apply_plan(experiment, plan.epochs)
    if collectives.is_chief:
        write_record(run.plan_file, plan)
    collectives.barrier()  # until the plan is there, which other starts read
    terminal.note(f"train.budget {budget}: {plan.describe()}")
    return planned


def _find_slowest(own: Speed, collectives: Collectives) -> Speed:
    """Return the speed of the slowest worker, the same on all of them."""
    numbers = own.model_dump()
    slowest = collectives.all_reduce_max(*numbers.values())
    return Speed.model_validate(dict(zip(numbers, slowest, strict=True)))
