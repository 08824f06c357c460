"""Decisions that follow from the log alone: which epoch is best, and whether to stop early. Light
zone.

Since the log is part of the checkpoint, a resumed run decides the same without any state of its
own.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from imgcls.config import EarlyStopping, Monitor, Plateau
from imgcls.io.records import Record

Seconds = Annotated[float, Field(ge=0)]


class StageSeconds(Record):
    """Where the time of an epoch went, in seconds."""

    steps: Seconds
    """Training steps, with the time that the device waited for data."""
    validation: Seconds
    """The pass over the validation split."""
    saving: Seconds
    """Writing the training state; that at the end of an epoch counts in the next one."""
    reading: Seconds
    """The loader: reading and decoding images, summed over its processes or threads; 0 where the
    split is in memory.
    """
    augmentation: Seconds
    """The loader: augmenting images, summed over its threads; 0 where the split is in memory."""


class EpochLog(Record):
    """A line of the log: one epoch."""

    epoch: Annotated[int, Field(ge=1)]
    """The number of the epoch, from 1."""
    step: Annotated[int, Field(ge=0)]
    """Training steps done at its end, over all epochs."""
    loss: float
    """Mean of the loss over the epoch's training images, in nats, with augmentation and dropout and
    without the L2 penalty.
    """
    accuracy: float
    """Share of the epoch's training images that were classified right, 0..1."""
    val_loss: float | None
    """Loss of the model on the validation split at the epoch's end; null where that is empty."""
    val_accuracy: float | None
    """Accuracy of the model on the validation split at the epoch's end, 0..1; null where that is
    empty.
    """
    learning_rate: float
    """The learning rate of its last step."""
    seconds: Seconds
    """Steps, validation and saving, in seconds."""
    images_per_second: Seconds
    """Training images for each second of training steps."""
    input_wait: Annotated[float, Field(ge=0, le=1)]
    """Share of the time of the training steps for which the device waited for data, 0..1; where the
    split is read from the store as needed, timed on one step in `train.steps_per_execution`.
    """
    stage_seconds: StageSeconds
    """Where the time went, in seconds."""


Epochs = Sequence[EpochLog]

TIMES = {"seconds", "images_per_second", "input_wait", "stage_seconds"}
"""The numbers of an epoch that differ from run to run."""

FOREGROUND = ("steps", "validation", "saving")
"""The stages that follow one another; steps include what the device waits for data."""
BACKGROUND = ("reading", "augmentation")
"""The stages of the loader, where splits are read from the store as needed: they run beside the
others, in several processes or threads.
"""
STAGES = (*FOREGROUND, *BACKGROUND)
"""The fields of `StageSeconds`."""

LOADER_BOUND = 0.1
"""From which share of the steps' time spent waiting for data on the loader counts as the limit."""


def _measure_improvement(monitor: Monitor, new: float, old: float) -> float:
    """Return by how much `new` is better than `old`: accuracy should rise, loss should fall."""
    return new - old if monitor == "val_accuracy" else old - new


def _get_monitored(epoch: EpochLog, monitor: Monitor) -> float:
    """Return what is monitored of an epoch.

    Raises:
        ValueError: nothing was validated, which `train` refuses before it begins.
    """
    value = epoch.val_loss if monitor == "val_loss" else epoch.val_accuracy
    if value is None:
        raise ValueError(f"epoch {epoch.epoch} has no {monitor}")
    return value


def best_epoch(epochs: Epochs, monitor: Monitor) -> int:
    """Return the number of the epoch with the best monitored value; the first of equals."""
    best = epochs[0]
    for epoch in epochs[1:]:
        if (
            _measure_improvement(
                monitor, _get_monitored(epoch, monitor), _get_monitored(best, monitor)
            )
            > 0
        ):
            best = epoch
    return best.epoch


def should_stop(epochs: Epochs, settings: EarlyStopping | None) -> bool:
    """Tell whether the last `patience` epochs brought no improvement of more than `min_delta` over
    the best before them.
    """
    return (
        settings is not None
        and _count_epochs_without_improvement(epochs, settings) >= settings.patience
    )


def reaches_plateau(epochs: Epochs, settings: Plateau) -> bool:
    """Tell whether the learning rate falls after the last epoch: its `patience` has run out, or has
    run out once more.
    """
    without = _count_epochs_without_improvement(epochs, settings)
    return without > 0 and without % settings.patience == 0


def _count_epochs_without_improvement(epochs: Epochs, settings: EarlyStopping | Plateau) -> int:
    """Return how many epochs have passed since the last one that was better than the best before it
    by more than `min_delta`.
    """
    without, best = 0, None
    for epoch in epochs:
        value = _get_monitored(epoch, settings.monitor)
        if best is None or _measure_improvement(settings.monitor, value, best) > settings.min_delta:
            best, without = value, 0
        else:
            without += 1
    return without


def describe_bottleneck(epochs: Epochs) -> str:
    """Return in a sentence whether the device or the loader was the limit, and which stage was the
    slowest.
    """
    stages = {name: sum(getattr(epoch.stage_seconds, name) for epoch in epochs) for name in STAGES}
    waited = sum(epoch.input_wait * epoch.stage_seconds.steps for epoch in epochs) / stages["steps"]
    total = sum(stages[name] for name in FOREGROUND)
    loader = waited >= LOADER_BOUND
    slowest = max(BACKGROUND if loader else FOREGROUND, key=stages.__getitem__)
    share = (
        f"{stages[slowest]:.1f} s of work beside the steps"
        if loader
        else f"{stages[slowest]:.1f} of {total:.1f} s"
    )
    return (
        f"the {'loader' if loader else 'device'} is the limit: in training steps it waited for data"
        f" {waited:.1%} of the time; the slowest stage is {slowest} ({share})"
    )


def format_epoch(epoch: EpochLog, epochs: int) -> str:
    """Return an epoch's numbers as one plain line."""
    validation = (
        ""
        if epoch.val_loss is None
        else f"  val_loss {epoch.val_loss:.4f}  val_accuracy {epoch.val_accuracy:.4f}"
    )
    return (
        f"epoch {epoch.epoch}/{epochs}  loss {epoch.loss:.4f}  accuracy"
        f" {epoch.accuracy:.4f}{validation}  learning_rate {epoch.learning_rate:.2e} "
        f" {epoch.seconds:.1f} s  {epoch.images_per_second:,.0f} images/s"
    )
