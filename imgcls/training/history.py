"""The training log, and decisions that depend on it alone, such as early stopping. Light zone.

The log is part of every checkpoint, so a resumed run makes the same decisions.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.errors import DataError
from imgcls.io.records import Record
from imgcls.monitor_settings import EarlyStopping, Monitor, Plateau
from imgcls.train_config import Soup, Train

if TYPE_CHECKING:
    from imgcls.run import Run

Seconds = Annotated[float, Field(ge=0)]


class StageSeconds(Record):
    """The time that each stage of an epoch took, in seconds."""

    steps: Seconds
    """Training steps, including the time that the device waited for data."""
    validation: Seconds
    """The pass over the validation split, after estimating the statistics of batch norm again
    (`train.precise_batch_norm`), and the losses of one batch in training and evaluation mode.
    """
    saving: Seconds
    """Time that saving checkpoints held up training: copying the state, and waiting until the
    previous one is written; saving at the end of an epoch counts toward the next epoch.
    """
    reading: Seconds
    """Reading and decoding images, summed over the loader's data workers or threads; 0 if the split
    is in memory, of the devices or the host.
    """
    augmentation: Seconds
    """Augmenting images, summed over the loader's threads; 0 if that is part of the steps."""


class EpochLog(Record):
    """The log entry of an epoch."""

    epoch: Annotated[int, Field(ge=0)]
    """The number of the epoch, from 1; 0 for the only entry of a run with `train.epochs: 0`, whose
    training loss and accuracy are those of its head, without augmentation and dropout."""
    step: Annotated[int, Field(ge=0)]
    """Training steps done by the end of the epoch, over all epochs."""
    loss: float
    """Mean training loss over the epoch's images, in nats, with augmentation and dropout, without
    L2 penalties and class weights.
    """
    accuracy: float
    """Training accuracy over the epoch's images, 0..1, with augmentation and dropout."""
    val_loss: float | None
    """Loss on the validation split at the end of the epoch, in nats; null if that is empty."""
    val_accuracy: float | None
    """Accuracy on the validation split at the end of the epoch, 0..1; null if that is empty."""
    train_mode_loss: float
    """Loss in training mode, with dropout and the statistics of the batch itself, at the end of the
    epoch, on the images of the first training step without augmentation, in nats.
    """
    eval_mode_loss: float
    """Loss in evaluation mode on the same images, with the same weights, in nats. If it is much
    larger, batch norm's moving averages do not suit the weights.
    """
    learning_rate: float
    """The learning rate of the epoch's last step."""
    image_size: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]
    """Height and width in pixels of the images that the epoch's last step was trained on."""
    frozen_layers: Annotated[int, Field(ge=0)]
    """Layers with weights that the epoch's last step did not train, because of `train.freeze`."""
    trained_parameters: Annotated[int, Field(ge=1)]
    """Parameters that the epoch's last step trained."""
    seconds: Seconds
    """Duration of training steps, validation and saving, in seconds."""
    images_per_second: Seconds
    """Training images per second of training steps."""
    input_wait: Annotated[float, Field(ge=0, le=1)]
    """Fraction of the training steps' time that the device waited for data, 0..1; with a streaming
    iterator, estimated from one step, drawn at random, of each 32 or fewer.
    """
    steps_per_execution: Annotated[int, Field(ge=1)]
    """Training steps per call of a compiled function at the end of the epoch: those of the
    experiment, or chosen by speed.
    """
    stage_seconds: StageSeconds
    """The time that each stage took, in seconds."""


Epochs = Sequence[EpochLog]

RESULTS = ("loss", "accuracy", "val_loss", "val_accuracy")
"""The fields of `EpochLog` that say how good the weights of an epoch are."""

TIMES = {
    *("seconds", "images_per_second", "input_wait", "stage_seconds"),
    "steps_per_execution",  # chosen by time, unless given
}
"""The fields of `EpochLog` that differ between identical runs."""

FOREGROUND = ("steps", "validation", "saving")
"""The stages that run one after the other."""
BACKGROUND = ("reading", "augmentation")
"""The stages of the streaming iterator's loader, which run beside the others in several data
workers or threads.
"""
STAGES = (*FOREGROUND, *BACKGROUND)
"""The fields of `StageSeconds`."""

LOADER_BOUND = 0.1
"""The `input_wait` from which the loader counts as the bottleneck."""


def read_complete_log(run: "Run") -> list[EpochLog]:
    """Return the log of a finished run, which has at least one epoch.

    Raises:
        DataError: it is missing or damaged.
    """
    if log := run.log:
        return log
    raise DataError(
        f"{run.folder} has no log of its epochs; run the training command again, which restores it"
        " from the last checkpoint"
    )


def _compute_improvement(monitor: Monitor, new: float, old: float) -> float:
    """Return by how much `new` is better than `old`: higher for accuracy, lower for loss."""
    return new - old if monitor == "val_accuracy" else old - new


def _get_monitored(epoch: EpochLog, monitor: Monitor) -> float:
    """Return the monitored value of an epoch.

    Raises:
        ValueError: the epoch has no validation; `train` rejects such an experiment at the start.
    """
    value = epoch.val_loss if monitor == "val_loss" else epoch.val_accuracy
    if value is None:
        raise ValueError(f"epoch {epoch.epoch} has no {monitor}")
    return value


def find_best_epoch(epochs: Epochs, monitor: Monitor) -> int:
    """Return the number of the epoch with the best monitored value.

    On a tie, which is common for the accuracy of a few hundred images, the other of validation loss
    and accuracy decides, and then the later epoch. This is a total order, so the best of a longer
    log is the best so far or a later epoch.
    """
    return max(epochs, key=lambda epoch: _rank(epoch, monitor)).epoch


def _rank(epoch: EpochLog, monitor: Monitor) -> tuple[float, float, int]:
    """Return what orders epochs from the worst to the best."""
    accuracy = _get_monitored(epoch, "val_accuracy")
    negative_loss = -_get_monitored(epoch, "val_loss")
    if monitor == "val_accuracy":
        return accuracy, negative_loss, epoch.epoch
    return negative_loss, accuracy, epoch.epoch


def rank_kept_epochs(epochs: Epochs, settings: Train) -> list[int]:
    """Return the numbers of the epochs so far whose weights are kept, from the best on.

    That is none if `train.select_weights` asks for the last epoch, whose weights are the model's,
    or without epochs.
    """
    if settings.select_weights == "last" or settings.epochs == 0:
        return []
    count = (settings.soup or Soup()).checkpoints if settings.select_weights == "soup" else 1
    ranked = sorted(epochs, key=lambda epoch: _rank(epoch, settings.monitor), reverse=True)
    return [epoch.epoch for epoch in ranked[:count]]


def get_selected_epoch(epochs: Epochs, settings: Train) -> EpochLog:
    """Return the entry of the epoch whose weights `train.select_weights` selects."""
    number = find_selected_epoch(epochs, settings)
    return next(epoch for epoch in epochs if epoch.epoch == number)


def find_selected_epoch(epochs: Epochs, settings: Train) -> int:
    """Return the number of the epoch whose weights `train.select_weights` selects.

    For a soup, that is the best epoch, which it begins with.
    """
    if settings.select_weights == "last":
        return epochs[-1].epoch
    return find_best_epoch(epochs, settings.monitor)


def should_stop(epochs: Epochs, settings: EarlyStopping | None) -> bool:
    """Return whether to stop early: `patience` epochs without an improvement over `min_delta`."""
    return (
        settings is not None
        and _count_epochs_without_improvement(epochs, settings) >= settings.patience
    )


def should_reduce_learning_rate(epochs: Epochs, settings: Plateau) -> bool:
    """Return whether to lower the learning rate after the last epoch.

    True after every `patience` epochs without an improvement of more than `min_delta`.
    """
    count = _count_epochs_without_improvement(epochs, settings)
    return count > 0 and count % settings.patience == 0


def _count_epochs_without_improvement(epochs: Epochs, settings: EarlyStopping | Plateau) -> int:
    """Return the number of epochs since the last improvement of more than `min_delta`."""
    count, best = 0, None
    for epoch in epochs:
        value = _get_monitored(epoch, settings.monitor)
        if best is None or _compute_improvement(settings.monitor, value, best) > settings.min_delta:
            best, count = value, 0
        else:
            count += 1
    return count


def describe_bottleneck(epochs: Epochs) -> str:
    """Return a sentence that names the bottleneck, device or loader, and its slowest stage."""
    stages = {name: sum(getattr(epoch.stage_seconds, name) for epoch in epochs) for name in STAGES}
    wait = sum(epoch.input_wait * epoch.stage_seconds.steps for epoch in epochs) / stages["steps"]
    total = sum(stages[name] for name in FOREGROUND)
    is_loader = wait >= LOADER_BOUND
    slowest = max(BACKGROUND if is_loader else FOREGROUND, key=stages.__getitem__)
    duration = (
        f"{stages[slowest]:.1f} s, summed over its workers"
        if is_loader
        else f"{stages[slowest]:.1f} of {total:.1f} s"
    )
    return (
        f"the bottleneck is the {'loader' if is_loader else 'device'}: the device waited for data"
        f" during {wait:.1%} of the training steps' time; the slowest stage is {slowest}"
        f" ({duration})"
    )


def format_epoch(epoch: EpochLog, epochs: int) -> str:
    """Return an epoch's results as one line of text.

    Args:
        epochs: number of epochs of the training.
    """
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
