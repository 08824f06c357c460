"""Learning curves: loss, accuracy and learning rate per epoch; a line marks the selected epoch.

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.figures import Subject, _style
from imgcls.parts import PartSettings
from imgcls.training import history

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from imgcls.train_config import Train

MAX_MARKED = 40
"""The largest number of epochs with a marker for each; a single epoch has no line to see."""


class Settings(PartSettings):
    """Learning curves have no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw three panels with a common axis of epochs."""
    from matplotlib.ticker import MaxNLocator

    log = subject.log
    figure = _style.make_figure(_style.WIDTH, 7.5)
    loss, accuracy, learning_rate = figure.subplots(3, sharex=True, height_ratios=[3, 3, 1.5])
    _draw_lines(loss, log, {"train": "loss", "validation": "val_loss"})
    _draw_lines(accuracy, log, {"train": "accuracy", "validation": "val_accuracy"})
    _draw_lines(learning_rate, log, {"train": "learning_rate"})
    selected, reason = _find_selected_epoch(log, subject.experiment.train)
    for axes, title in ((loss, "Loss"), (accuracy, "Accuracy"), (learning_rate, "Learning rate")):
        axes.axvline(
            selected,
            color=_style.FAINT,
            linestyle=":",
            zorder=0,
            label=f"epoch {selected}: {reason}",
        )
        axes.set_title(title)
        axes.grid(axis="y")
    loss.legend()
    learning_rate.yaxis.set_major_formatter("{x:g}")
    learning_rate.set_xlabel("epoch")
    learning_rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    # For a single epoch, matplotlib would choose an axis of 0.95 to 1.05.
    margin = max(0.5, 0.02 * len(log))
    learning_rate.set_xlim(log[0].epoch - margin, log[-1].epoch + margin)
    return figure


def _draw_lines(axes: "Axes", log: history.Epochs, keys: dict[str, str]) -> None:
    """Draw one line per split, without epochs that have no value, such as without validation."""
    marker = "o" if len(log) <= MAX_MARKED else None
    for split, key in keys.items():
        logged = [(epoch.epoch, getattr(epoch, key)) for epoch in log]
        points = [(epoch, value) for epoch, value in logged if value is not None]
        if points:
            epochs, values = zip(*points, strict=True)
            line_style = "--" if split == "validation" else "-"
            axes.plot(
                epochs,
                values,
                line_style,
                color=_style.SPLIT_COLORS[split],
                marker=marker,
                markersize=3.5,
                label=split,
            )


def _find_selected_epoch(log: history.Epochs, train: "Train") -> tuple[int, str]:
    """Return the epoch that `train.select_weights` selects, and the reason."""
    best = history.get_selected_epoch(log, train)
    selected = best.epoch
    if train.select_weights == "last":
        return selected, "the last"
    value = getattr(best, train.monitor)
    reason = f"best {train.monitor}, {value:.4g}"
    if train.select_weights == "soup":
        reason = f"{reason}, first of the soup"
    tied = [epoch.epoch for epoch in log if getattr(epoch, train.monitor) == value]
    if len(tied) == 1:
        return selected, reason
    other = "val_loss" if train.monitor == "val_accuracy" else "val_accuracy"
    return selected, f"{reason}; of these {len(tied)}, best {other}, {getattr(best, other):.4g}"
