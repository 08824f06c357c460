"""One curve a class, each class against the rest, with their macro and micro averages; for ROC and
precision-recall. Light zone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgcls.figures import NotDrawableError, Subject, _style

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = 10
"""Classes that get a curve of their own; of more, those with the least area do."""


@dataclass(frozen=True)
class Curve:
    """A curve over [0, 1]: float64 (points,) each, x rising."""

    x: "numpy.ndarray"
    y: "numpy.ndarray"


@dataclass(frozen=True)
class Kind:
    """What makes ROC and precision-recall two figures.

    Attributes:
        title: stands above, before the split.
        metric: the part of imgcls/metrics that measures the area.
        area: the name of its numbers: one a class, and macro_ and micro_ averages.
        symbol: the area's name in the legend.
        draw_style: matplotlib's drawstyle: "default" for straight lines between the points, or
            steps.
        make_curve: from truth, bool (n,), and score, float (n,).
    """

    title: str
    metric: str
    area: str
    symbol: str
    draw_style: str
    make_curve: "Callable[[numpy.ndarray, numpy.ndarray], Curve]"


def draw(kind: Kind, subject: Subject) -> "Figure":
    """Draw the curves of all classes, or of the worst with a band that holds the middle 80 % of the
    classes; and both averages.

    Raises:
        NotDrawableError: fewer than two classes have images in the split.
    """
    import numpy

    predictions, result = subject.predictions, subject.compute_metric(kind.metric)
    areas = {
        label: area for label, area in enumerate(result.per_class[kind.area]) if area is not None
    }
    if not areas:
        raise NotDrawableError(
            f"the {subject.evaluated_split} split has images of one class alone; a class against"
            " the rest needs a rest"
        )
    curves = {
        label: kind.make_curve(predictions.labels == label, predictions.probabilities[:, label])
        for label in areas
    }
    figure = _style.make_figure(_style.WIDTH, 5.2)
    axes = figure.subplots()
    grid = numpy.linspace(0, 1, 501)
    heights = numpy.stack([_interpolate(grid, curve, kind.draw_style) for curve in curves.values()])
    if len(curves) > NAMED:
        low, high = numpy.quantile(heights, [0.1, 0.9], axis=0)
        axes.fill_between(grid, low, high, color=_style.PAPER, label="middle 80 % of the classes")
    for place, label in enumerate(sorted(sorted(areas, key=lambda label: areas[label])[:NAMED])):
        name = f"{kind.symbol} {areas[label]:.4f}  {_style.shorten(predictions.classes[label])}"
        axes.plot(
            curves[label].x,
            curves[label].y,
            drawstyle=kind.draw_style,
            label=name,
            **_choose_line_style(place),
        )
    _draw_averages(axes, kind, subject, grid, heights)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_title(f"{kind.title} ({subject.evaluated_title})")
    axes.grid()
    _add_legend(axes, len(curves), len(predictions.classes))
    return figure


def _draw_averages(
    axes: "Axes", kind: Kind, subject: Subject, grid: "numpy.ndarray", heights: "numpy.ndarray"
) -> None:
    """Draw the mean of the classes' heights over the grid, and the curve of all classes pooled."""
    import numpy

    predictions, result = subject.predictions, subject.compute_metric(kind.metric)
    bold: dict[str, Any] = {"color": _style.INK, "linewidth": 2.2}
    macro, micro = result.scalars[f"macro_{kind.area}"], result.scalars[f"micro_{kind.area}"]
    axes.plot(grid, heights.mean(axis=0), label=f"{kind.symbol} {macro:.4f}  macro average", **bold)
    truth = predictions.labels[:, None] == numpy.arange(len(predictions.classes))
    pooled = kind.make_curve(truth.ravel(), predictions.probabilities.ravel())
    axes.plot(
        pooled.x,
        pooled.y,
        drawstyle=kind.draw_style,
        linestyle=":",
        label=f"{kind.symbol} {micro:.4f}  micro average",
        **bold,
    )


def _interpolate(grid: "numpy.ndarray", curve: Curve, draw_style: str) -> "numpy.ndarray":
    """Return the curve's height at each place of a grid; where it is vertical, its end."""
    import numpy

    if draw_style == "default":
        # Of several points at one x, numpy.interp takes the last at that x, and the first when it
        # comes from the left.
        return numpy.interp(grid, curve.x, curve.y)
    return curve.y[numpy.searchsorted(curve.x, grid, side="left").clip(0, len(curve.x) - 1)]


def _choose_line_style(place: int) -> dict[str, Any]:
    return {
        "color": _style.COLORS[place],
        "linestyle": _style.LINE_STYLES[place % len(_style.LINE_STYLES)],
        "linewidth": 1.2,
    }


def _add_legend(axes: "Axes", drawn: int, classes: int) -> None:
    """List the curves beside the axes, and what is not shown."""
    heading = (
        f"the {NAMED} lowest of {drawn} classes" if drawn > NAMED else "each class against the rest"
    )
    if drawn < classes:
        heading += f"\n({classes - drawn} of {classes} classes not in the split)"
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        title=heading,
        title_fontsize=8,
        alignment="left",
        handlelength=3,
    )
