"""Figures of a family of runs: their curves, and the spread of their metrics. Light zone."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imgcls.figures import _style
from imgcls.training.history import Epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from imgcls.evaluation.spread import Spread

COLUMNS = 4
"""Panels side by side in the figure of metrics."""


def draw_curves(logs: Mapping[str, Epochs], selected: Mapping[str, int]) -> "Figure":
    """Draw loss and accuracy per epoch of several runs, and the mean over the runs.

    Args:
        logs: of each run, by its name.
        selected: the number of each run's selected epoch, which is marked by a dot.
    """
    figure, panels = make_curve_panels(list(logs.values()), f", {len(logs)} runs")
    for key, axes in panels.items():
        curves = {name: [getattr(epoch, key) for epoch in log] for name, log in logs.items()}
        _draw_runs(axes, curves, selected)
    first, *_ = panels.values()
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower left", ncols=5)
    return figure


def make_curve_panels(logs: Sequence[Epochs], suffix: str = "") -> "tuple[Figure, dict[str, Axes]]":
    """Return a figure with empty panels for the curves of loss and accuracy of some runs.

    Args:
        suffix: of the titles.

    Returns:
        The panels by the field of `EpochLog` that they show: that of the validation split, or that
        of training if a run has none.
    """
    from matplotlib.ticker import MaxNLocator

    validated = all(epoch.val_loss is not None for log in logs for epoch in log)
    prefix, split = ("val_", "Validation") if validated else ("", "Training")
    figure = _style.make_figure(_style.WIDTH, 5.5)
    loss, accuracy = figure.subplots(2, sharex=True)
    for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        axes.set_title(f"{split} {quantity}{suffix}")
        axes.grid(axis="y")
    accuracy.set_xlabel("epoch")
    accuracy.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure, {f"{prefix}loss": loss, f"{prefix}accuracy": accuracy}


def plot_mean(axes: "Axes", curves: Sequence[Sequence[float]], **line: Any) -> None:
    """Plot the mean of curves over the epochs that all of them have.

    Args:
        line: properties of the line.
    """
    import numpy

    epochs = min(map(len, curves))
    mean = numpy.mean([curve[:epochs] for curve in curves], axis=0)
    marker = "o" if epochs == 1 else None  # a single epoch has no line to see
    axes.plot(range(1, epochs + 1), mean, marker=marker, **line)


def _draw_runs(
    axes: "Axes", curves: Mapping[str, list[float]], selected: Mapping[str, int]
) -> None:
    for index, (name, values) in enumerate(curves.items()):
        color = _style.COLORS[index % len(_style.COLORS)]
        line_style = _style.LINE_STYLES[index // len(_style.COLORS) % len(_style.LINE_STYLES)]
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, line_style, color=color, linewidth=0.9, label=name)
        axes.plot(selected[name], values[selected[name] - 1], "o", color=color, markersize=4)
    plot_mean(axes, list(curves.values()), color=_style.INK, linewidth=2, label="mean")


def draw_spread(spreads: Mapping[str, "Spread"], names: list[str], title: str) -> "Figure":
    """Draw a panel per metric: a dot for each run, the mean, and the interval of the mean.

    Args:
        spreads: by the metric's name.
        names: of the runs, in the order of the values.
    """
    rows = -(-len(spreads) // COLUMNS)
    figure = _style.make_figure(_style.WIDTH, 0.6 + 1.9 * rows)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flat
    for (metric, spread), axes in zip(spreads.items(), panels, strict=False):
        defined = [(i, value) for i, value in enumerate(spread.values) if value is not None]
        axes.plot(*zip(*defined, strict=True), "o", color=_style.COLORS[0], markersize=5)
        if spread.interval and spread.mean is not None:
            axes.axhspan(*spread.interval, color=_style.COLORS[0], alpha=0.15, linewidth=0)
        axes.axhline(spread.mean, color=_style.INK, linewidth=1)
        axes.set_title(metric.replace("_", " "), fontsize=8)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axes.set_xlim(-0.7, len(names) - 0.3)
        axes.grid(axis="y")
    for axes in panels:  # those that are left
        axes.set_axis_off()
    figure.suptitle(title, fontsize=10, fontweight="bold", x=0.01, ha="left")
    return figure
