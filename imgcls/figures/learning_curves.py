"""Learning curves: loss, accuracy and learning rate per epoch; a line marks the selected epoch.

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.figures import Subject, _style
from imgcls.parts import PartSettings
from imgcls.training import history

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from imgcls.train_config import Train

MAX_MARKED = 40
"""The largest number of epochs with a marker for each; a single epoch has no line to see."""


LOG_ABOVE = 10.0
"""The ratio of the highest loss to the lowest one above which its axis is logarithmic."""
NEARLY_ALL = 0.95
"""The accuracy above which its axis is logarithmic in the fraction of mistakes."""
ACCURACY_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9998, 0.99999, 1.0)

HOW_TO_READ = (
    "If the validation loss rises while the training loss falls, the model overfits; if both "
    "still fall at the end, train longer."
)


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
    for axes, name in ((loss, "loss"), (accuracy, "accuracy"), (learning_rate, "learning_rate")):
        axes.axvline(
            selected,
            color=_style.FAINT,
            linestyle=":",
            zorder=0,
            label=f"epoch {selected}: {reason}",
        )
        axes.set_title(_describe(log, selected, name))
        axes.grid(axis="y")
    _spread_saturated(loss, accuracy, log)
    loss.legend()
    learning_rate.yaxis.set_major_formatter("{x:g}")
    learning_rate.set_xlabel("epoch")
    learning_rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    # For a single epoch, matplotlib would choose an axis of 0.95 to 1.05.
    margin = max(0.5, 0.02 * len(log))
    learning_rate.set_xlim(log[0].epoch - margin, log[-1].epoch + margin)
    return figure


def _describe(log: history.Epochs, selected: int, name: str) -> str:
    """Return a quantity of the selected epoch, for a title."""
    (epoch,) = (each for each in log if each.epoch == selected)
    title = name.replace("_", " ").capitalize()
    value, validated = getattr(epoch, name), getattr(epoch, f"val_{name}", None)
    if name == "learning_rate":
        return f"{title}: {value:.3g} at the end of epoch {selected}"
    return f"{title} of epoch {selected}: {value:.4f}" + (
        "" if validated is None else f", on validation {validated:.4f}"
    )


def _spread_saturated(loss: "Axes", accuracy: "Axes", log: history.Epochs) -> None:
    """Make axes logarithmic where most of a curve would be a flat line at its end: that of a loss
    which fell far, and that of an accuracy near 1, by its distance from 1.
    """
    losses = [value for each in log for value in (each.loss, each.val_loss) if value is not None]
    if min(losses) > 0 and max(losses) / min(losses) > LOG_ABOVE:
        loss.set_yscale("log")
        loss.yaxis.set_major_formatter("{x:g}")
    rates = [
        rate for each in log for rate in (each.accuracy, each.val_accuracy) if rate is not None
    ]
    if max(rates) > NEARLY_ALL:
        errors = [1 - rate for rate in rates if rate < 1]
        scale_by_error(accuracy, max(rates), min(rates), min(errors, default=0.5))


def scale_by_error(axes: "Axes", highest: float, lowest: float, least: float) -> None:
    """Make the axis of an accuracy logarithmic in the fraction of mistakes.

    Args:
        highest, lowest: the values that are shown, 0..1.
        least: the smallest fraction of mistakes above 0; half of it stands for none.
    """
    import numpy

    none = max(least / 2, 1e-6)

    def forward(accuracy: "numpy.ndarray") -> "numpy.ndarray":
        return -numpy.log10(numpy.maximum(1 - accuracy, none))

    axes.set_yscale("function", functions=(forward, lambda y: 1 - 10.0**-y))
    axes.set_ylim(lowest - 0.1 * (1 - lowest), 1 - 0.8 * max(1 - highest, none))
    shown = [tick for tick in ACCURACY_TICKS if lowest <= tick <= highest]
    # Those that are nearer to 1 than `none` would lie on the tick of 1.
    ticks = [tick for tick in shown if tick == 1 or 1 - tick > 1.2 * none] or [lowest, highest]
    axes.set_yticks(ticks, [f"{tick:.6g}" for tick in ticks])
    axes.set_yticks([], minor=True)


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
