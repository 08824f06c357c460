"""Decisions that follow from the log alone: which epoch is best, and whether to stop early. Light zone.

Since the log is part of the checkpoint, a resumed run decides the same without any state of its own.
"""

from typing import Any

from imgcls.config import EarlyStopping, Monitor

Epochs = list[dict[str, Any]]

TIMES = {"seconds", "images_per_second", "input_wait"}
"""The numbers of an epoch that differ from run to run."""


def _improvement(monitor: Monitor, new: float, old: float) -> float:
    """Return by how much `new` is better than `old`: accuracy should rise, loss should fall."""
    return new - old if monitor == "val_accuracy" else old - new


def best_epoch(epochs: Epochs, monitor: Monitor) -> int:
    """Return the number of the epoch with the best monitored value; the first of equals."""
    best = epochs[0]
    for epoch in epochs[1:]:
        if _improvement(monitor, epoch[monitor], best[monitor]) > 0:
            best = epoch
    return best["epoch"]


def should_stop(epochs: Epochs, settings: EarlyStopping | None) -> bool:
    """Tell whether the last `patience` epochs brought no improvement of more than `min_delta` over the best before them."""
    if settings is None or not epochs:
        return False
    best, without = epochs[0], 0
    for epoch in epochs[1:]:
        if _improvement(settings.monitor, epoch[settings.monitor], best[settings.monitor]) > settings.min_delta:
            best, without = epoch, 0
        else:
            without += 1
    return without >= settings.patience


def epoch_line(epoch: dict[str, Any], epochs: int) -> str:
    """Return an epoch's numbers as one plain line."""
    validation = "" if epoch["val_loss"] is None else f"  val_loss {epoch['val_loss']:.4f}  val_accuracy {epoch['val_accuracy']:.4f}"
    return (
        f"epoch {epoch['epoch']}/{epochs}  loss {epoch['loss']:.4f}  accuracy {epoch['accuracy']:.4f}{validation}  "
        f"learning_rate {epoch['learning_rate']:.2e}  {epoch['seconds']:.1f} s  {epoch['images_per_second']:,.0f} images/s"
    )
