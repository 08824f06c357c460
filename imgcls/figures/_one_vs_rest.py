"""One-vs-rest curves of each class, with averages, for ROC and precision-recall. Light zone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgcls.figures import NotDrawableError, Subject, _style

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CURVES = 10
"""How many classes get a curve: if there are more, those with the smallest areas."""


@dataclass(frozen=True)
class Curve:
    """A curve over [0, 1].

    Attributes:
        x: float64 (points,), ascending.
        y: float64 (points,).
    """

    x: "numpy.ndarray"
    y: "numpy.ndarray"


@dataclass(frozen=True)
class Kind:
    """A kind of curve: ROC or precision-recall.

    Attributes:
        title: of the figure, without the split.
        metric: the part in imgcls/metrics that computes the area under the curve.
        area: the area's name in the metric's result.
        symbol: the area's name in the legend.
        draw_style: matplotlib's `drawstyle`: "default" for straight lines between points, or steps.
        make_curve: computes the curve from truth, bool (images,), and scores, float (images,).
        make_point: computes the point on the curve of images predicted as positive, bool (images,),
            from truth and these.
    """

    title: str
    metric: str
    area: str
    symbol: str
    draw_style: str
    make_curve: "Callable[[numpy.ndarray, numpy.ndarray], Curve]"
    make_point: "Callable[[numpy.ndarray, numpy.ndarray], tuple[float, float]]"


def draw(kind: Kind, subject: Subject) -> "Figure":
    """Draw the curves of all classes, with their macro and micro average.

    If there are more than `MAX_CURVES` classes, draw the worst ones, and a band with the middle
    80 % of all classes. Of two classes, one curve is drawn, and the point of the threshold 0.5.

    Raises:
        NotDrawableError: fewer than two classes have images in the split.
    """
    import numpy

    predictions, areas = subject.predictions, _find_areas(kind, subject)
    curves = {
        label: kind.make_curve(predictions.labels == label, predictions.probabilities[:, label])
        for label in areas
    }
    figure = _style.make_figure(_style.WIDTH, 5.2)
    axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.grid()
    if len(predictions.classes) == 2:
        _draw_two_classes(axes, kind, subject, curves[1])
        return figure
    grid = numpy.linspace(0, 1, 501)
    heights = numpy.stack([_interpolate(grid, curve, kind.draw_style) for curve in curves.values()])
    if len(curves) > MAX_CURVES:
        low, high = numpy.quantile(heights, [0.1, 0.9], axis=0)
        axes.fill_between(grid, low, high, color=_style.PAPER, label="middle 80 % of the classes")
    worst = sorted(areas, key=lambda label: areas[label])[:MAX_CURVES]
    for i, label in enumerate(sorted(worst)):
        name = f"{kind.symbol} {areas[label]:.4f}  {_style.shorten(predictions.classes[label])}"
        axes.plot(
            curves[label].x,
            curves[label].y,
            drawstyle=kind.draw_style,
            label=name,
            **_choose_line_style(i),
        )
    _draw_averages(axes, kind, subject, grid, heights)
    _add_legend(axes, len(curves), len(predictions.classes))
    axes.set_title(_describe(kind, subject, areas))
    return figure


def _find_areas(kind: Kind, subject: Subject) -> dict[int, float]:
    """Return the area of each class whose curve is defined; raises as `draw`."""
    values = subject.compute_metric(kind.metric).per_class[kind.area]
    areas = {label: area for label, area in enumerate(values) if area is not None}
    if not areas:
        raise NotDrawableError(
            f"the {subject.evaluated_split} split has images of only one class; one-vs-rest curves"
            " need at least two"
        )
    return areas


def _describe(kind: Kind, subject: Subject, areas: dict[int, float]) -> str:
    """Return what the curves show: the mean area, and the class with the lowest one."""
    predictions, result = subject.predictions, subject.compute_metric(kind.metric)
    label = min(areas, key=lambda each: areas[each])
    macro = f"macro {kind.symbol} {result.scalars[f'macro_{kind.area}']:.4f}"
    lowest = f"lowest: {_style.shorten(predictions.classes[label])}, {areas[label]:.4f}"
    return f"{kind.title}: {macro}; {lowest}\n({subject.evaluated_title})"


def _draw_two_classes(axes: "Axes", kind: Kind, subject: Subject, curve: Curve) -> None:
    """Draw the curve of the second class against the first, and where its threshold is 0.5."""
    predictions = subject.predictions
    area = subject.compute_metric(kind.metric).per_class[kind.area][1]
    first, second = (_style.shorten(name) for name in predictions.classes)
    label = f"{kind.symbol} {area:.4f}  {second} against {first}"
    axes.plot(curve.x, curve.y, drawstyle=kind.draw_style, linewidth=2, label=label)
    point = kind.make_point(predictions.labels == 1, predictions.predicted == 1)
    text = f"threshold 0.5: ({point[0]:.4f}, {point[1]:.4f})"
    axes.plot(*point, "o", color=_style.COLORS[1], markersize=7, label=text)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), handlelength=3)
    axes.set_title(f"{kind.title}: {kind.symbol} {area:.4f}\n({subject.evaluated_title})")


def _draw_averages(
    axes: "Axes", kind: Kind, subject: Subject, grid: "numpy.ndarray", heights: "numpy.ndarray"
) -> None:
    """Draw the macro average, a mean over classes, and the micro average, which pools them.

    Args:
        grid: x of the macro average, float64 (points,).
        heights: of the classes' curves over the grid, float64 (classes, points).
    """
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
    """Return the curve's y at each x of a grid; the end of vertical segments."""
    import numpy

    if draw_style == "default":
        # Of several points at the same x, numpy.interp returns the last one.
        return numpy.interp(grid, curve.x, curve.y)
    return curve.y[numpy.searchsorted(curve.x, grid, side="left").clip(0, len(curve.x) - 1)]


def _choose_line_style(index: int) -> dict[str, Any]:
    return {
        "color": _style.COLORS[index],
        "linestyle": _style.LINE_STYLES[index % len(_style.LINE_STYLES)],
        "linewidth": 1.2,
    }


def _add_legend(axes: "Axes", present: int, classes: int) -> None:
    """List the curves beside the axes, and say which classes are not shown.

    Args:
        present: number of classes with images in the split.
        classes: number of all classes.
    """
    heading = (
        f"the {MAX_CURVES} lowest of {present} classes"
        if present > MAX_CURVES
        else "each class against the rest"
    )
    if present < classes:
        heading += f"\n({classes - present} of {classes} classes not in the split)"
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        title=heading,
        title_fontsize=8,
        alignment="left",
        handlelength=3,
    )
