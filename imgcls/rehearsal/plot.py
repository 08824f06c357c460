"""The plot of a learning-rate range test. Light zone."""

from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.figures import _style
from imgcls.rehearsal.learning_rate_test import LearningRateTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write_plot(test: LearningRateTest, path: Path) -> None:
    """Draw the losses over the learning rates, and write a PNG file.

    Raises:
        UserError: the file cannot be written.
    """
    with _style.apply_style():
        _style.save_figure(_draw(test), path)


def _draw(test: LearningRateTest) -> "Figure":
    figure = _style.make_figure(_style.WIDTH, 4.5)
    axes = figure.subplots()
    rates = test.learning_rates
    color = _style.SPLIT_COLORS["train"]
    axes.plot(rates, test.losses, color=color, alpha=0.3, linewidth=1, label="loss of each batch")
    axes.plot(rates, test.smoothed, color=color, linewidth=2, label="moving average")
    _mark(axes, test.steepest, "steepest descent", "--", _style.COLORS[1])
    _mark(axes, test.minimum_tenth, "a tenth of the minimum's", "-.", _style.COLORS[2])
    _mark(axes, test.current, "in the experiment", ":", _style.FAINT)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_ylim(*_find_limits(test))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.set_title(
        f"Learning-rate range test: {test.experiment}, {test.optimizer}, batches of"
        f" {test.batch_size}"
    )
    axes.grid(axis="both")
    axes.legend()
    return figure


def _mark(axes: "Axes", rate: float | None, label: str, style: str, color: str) -> None:
    if rate is not None:
        axes.axvline(rate, linestyle=style, color=color, label=f"{rate:.2g}: {label}")


def _find_limits(test: LearningRateTest) -> tuple[float, float]:
    """Return an axis of losses on which the fall fills the height; the explosion leaves it."""
    low, start = min(test.smoothed), max(test.smoothed[: len(test.smoothed) // 2 + 1])
    margin = max(start - low, 0.05 * start, 1e-9)
    return low - 0.2 * margin, start + 0.8 * margin
