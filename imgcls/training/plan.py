"""The plan of a training with a budget of time: how many epochs fit. Light zone."""

import bisect
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from imgcls.config import Experiment
from imgcls.durations import Duration
from imgcls.errors import UserError
from imgcls.io.records import Record, read_record
from imgcls.train_config import Train

if TYPE_CHECKING:
    from imgcls.run import Run

Seconds = Annotated[float, Field(ge=0)]
MARGIN = 1.25
"""Factor on the shortest budget that a message advises, since the start takes longer at times."""


@dataclass(frozen=True)
class Measurement:
    """What the parts of a training take, in seconds.

    Attributes:
        startup, compilation, epoch_end: as in `Speed`.
        steps: a training step of each kind of phase.
    """

    startup: float
    compilation: float
    epoch_end: float
    steps: tuple[float, ...]


class Speed(Record):
    """What the parts of a training take, in seconds; of several workers, the slowest."""

    startup: Seconds
    """From the start of the command until the training steps were measured, compiling included."""
    compilation: Seconds
    """Compiling training, which is done again when training starts."""
    step: Seconds
    """A training step, on average over the planned training."""
    epoch_end: Seconds
    """The end of an epoch: the pass over the validation split, and writing a checkpoint."""


class Plan(Record):
    """The plan of a run with `train.budget`, made once when the run starts."""

    epochs: Annotated[int, Field(ge=1)]
    """The number of epochs that fit the budget."""
    speed: Speed
    """The speed that was measured."""

    def describe(self) -> str:
        """Return the plan in a sentence without a period."""
        return (
            f"{self.epochs} epochs fit: a step takes {1000 * self.speed.step:.3g} ms on average,"
            f" the end of an epoch {self.speed.epoch_end:.2g} s, and start-up and compilation"
            f" {self.speed.startup + self.speed.compilation:.2g} s"
        )


def count_epochs(settings: Train) -> int:
    """Return `train.epochs`, which must be planned already if there is a budget."""
    if settings.epochs is None:
        raise ValueError("the epochs of train.budget are not planned yet")
    return settings.epochs


def read_plan(run: "Run") -> Plan | None:
    """Return the plan of a run; None if it has none, or none yet.

    Raises:
        DataError: plan.json is damaged.
    """
    if not os.path.lexists(run.plan_file):
        return None
    return read_record(run.plan_file, Plan, "restore it from a backup, or train a new run")


def make_plan(
    budget: Duration,
    measured: Measurement,
    steps_per_epoch: int,
    count_seconds: Callable[[int], float],
) -> Plan:
    """Return the plan with as many epochs as fit a budget, that of `train.budget`.

    Counted are the start of the command and compilation, all epochs, and another end of an epoch
    for what follows the last one: calibration, and writing the model.

    Args:
        count_seconds: from a number of epochs to what their training steps take in all; it rises
            with them.

    Raises:
        UserError: not one epoch fits.
    """
    overhead = measured.startup + measured.compilation + measured.epoch_end

    def count_all(epochs: int) -> float:
        return overhead + count_seconds(epochs) + epochs * measured.epoch_end

    fastest = steps_per_epoch * min(measured.steps) + measured.epoch_end
    most = int(max(budget.seconds - overhead, 0.0) / fastest)
    epochs = bisect.bisect_right(range(1, most + 1), budget.seconds, key=count_all)
    if epochs < 1:
        least = math.ceil(MARGIN * count_all(1))
        raise UserError(
            f"train.budget is {budget}, but an epoch takes {count_all(1) - overhead:.2g} s, after"
            f" {overhead:.2g} s for start-up, compilation and writing the model; give at least"
            f" {least}s, or a smaller model or data.max_images"
        )
    speed = Speed(
        startup=measured.startup,
        compilation=measured.compilation,
        step=count_seconds(epochs) / (epochs * steps_per_epoch),
        epoch_end=measured.epoch_end,
    )
    return Plan(epochs=epochs, speed=speed)


def apply_plan(experiment: Experiment, epochs: int) -> Experiment:
    """Return an experiment with its planned number of epochs instead of the budget.

    Raises:
        UserError: a duration in epochs is longer.
    """
    content = experiment.model_dump()
    content["train"] |= {"epochs": epochs, "budget": None}
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(
            f"{problem} (train.budget: {experiment.train.budget} is enough for {epochs} epochs)"
        ) from None
