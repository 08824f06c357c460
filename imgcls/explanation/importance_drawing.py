"""The figure of what carries the accuracy. Light zone."""

import textwrap
from typing import TYPE_CHECKING

from imgcls.explanation.record import FeatureImportance, Importance
from imgcls.figures import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_importance(importance: Importance, title: str) -> "Figure":
    """Draw the fall of the accuracy without each feature: bars with intervals, and a grid of
    regions.

    Args:
        title: of the images, such as `test split, 360 images`.
    """
    bars = [each for each in importance.features if each.place is None]
    regions = [each for each in importance.features if each.place is not None]
    figure = _style.make_figure(_style.WIDTH, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    _draw_bars(left, bars)
    _draw_grid(right, regions)
    finding = importance.finding[0].upper() + importance.finding[1:]
    figure.suptitle(
        "\n".join(textwrap.wrap(f"{finding} ({title})", 90)),
        x=0.01,
        ha="left",
        fontsize=10,
        fontweight="bold",
    )
    return figure


def _draw_bars(axes: "Axes", features: list[FeatureImportance]) -> None:
    rows = range(len(features))
    axes.barh(rows, [each.drop for each in features], color=_style.COLORS[0], height=0.6)
    for row, each in zip(rows, features, strict=True):
        axes.plot(each.drop_interval, [row, row], color=_style.INK, linewidth=1.2)
    _style.label_rows(axes, [each.name for each in features])
    axes.axvline(0, color=_style.FAINT, linewidth=1)
    axes.set_xlabel("fall of the accuracy, with intervals")
    axes.set_title(
        "Taken from another image; frequencies in cycles a pixel", fontweight="normal", fontsize=9
    )
    axes.grid(axis="x")


def _draw_grid(axes: "Axes", regions: list[FeatureImportance]) -> None:
    import numpy

    places = [each.place for each in regions if each.place is not None]
    shape = tuple(max(place[i] for place in places) + 1 for i in (0, 1))
    grid = numpy.zeros(shape)
    for place, each in zip(places, regions, strict=True):
        grid[place] = each.drop
    largest = max(grid.max(), 0.01)
    axes.imshow(grid, cmap="Oranges", vmin=0, vmax=largest)
    for (row, column), value in numpy.ndenumerate(grid):
        color = "white" if value > 0.6 * largest else _style.INK
        axes.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(shape[1]), [str(i + 1) for i in range(shape[1])])
    axes.set_yticks(range(shape[0]), [str(i + 1) for i in range(shape[0])])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("Regions, by row and column", fontweight="normal", fontsize=9)
