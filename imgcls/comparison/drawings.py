"""Figures of a comparison: differences with their intervals, classes, learning curves. Light zone.

matplotlib and numpy are imported inside functions, and figures are drawn within
`imgcls.figures._style.apply_style()`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imgcls.comparison.candidate import Candidate
from imgcls.comparison.record import ClassDifference, MetricDifference
from imgcls.figures import _families, _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CLASSES = 30
"""How many classes are drawn: those that changed most."""
GAIN, LOSS = _style.COLORS[0], _style.COLORS[1]


def draw_differences(found: Sequence[MetricDifference]) -> "Figure":
    """Draw new - old of each metric that has an interval, in a panel for each better direction; a
    thin line below is the interval over runs.
    """
    panels = {
        title: [each for each in found if each.better == better and each.interval]
        for better, title in (("higher", "higher is better"), ("lower", "lower is better"))
    }
    panels = {title: rows for title, rows in panels.items() if rows}
    height = sum(_style.compute_rows_height(len(rows)) + 0.8 for rows in panels.values())
    figure = _style.make_figure(_style.WIDTH, height)
    axes = figure.subplots(
        len(panels), squeeze=False, height_ratios=[len(rows) + 1 for rows in panels.values()]
    )
    for each, (title, rows) in zip(axes[:, 0], panels.items(), strict=True):
        each.axvline(0, color=_style.INK, linewidth=0.8)
        for row, difference in enumerate(rows):
            _draw_difference(each, row, difference)
        _style.label_rows(each, [row.metric for row in rows])
        each.set_title(f"new - old, {title}")
        each.grid(axis="x")
    return figure


def _draw_difference(axes: "Axes", row: int, found: MetricDifference) -> None:
    """Draw the intervals of a metric: in color if the difference excludes 0 over images."""
    if found.interval is None or found.difference is None:
        return
    is_gain = (found.difference > 0) == (found.better == "higher")
    shown = found.conclusion not in ("no_difference_shown", "identical")
    color = (GAIN if is_gain else LOSS) if shown else _style.FAINT
    axes.plot(found.interval, (row, row), color=color, linewidth=3, solid_capstyle="butt")
    axes.plot(found.difference, row, "o", color=color, markersize=6)
    if found.interval_over_runs:
        axes.plot(found.interval_over_runs, (row + 0.25, row + 0.25), color=color, linewidth=1)


def draw_classes(found: Sequence[ClassDifference]) -> "Figure":
    """Draw the images that each class gained and lost, of the classes that changed most, from the
    largest gain to the largest loss.
    """
    from matplotlib.ticker import MaxNLocator

    changed = [each for each in found if each.gained or each.lost]
    largest = sorted(changed, key=lambda each: -abs(each.gained - each.lost))[:MAX_CLASSES]
    shown = [each for each in changed if each in largest]
    figure = _style.make_figure(_style.WIDTH, _style.compute_rows_height(len(shown)) + 1.2)
    axes = figure.subplots()
    rows = range(len(shown))
    axes.barh(rows, [each.gained for each in shown], color=GAIN, label="became right")
    axes.barh(rows, [-each.lost for each in shown], color=LOSS, label="became wrong")
    axes.plot(
        [each.gained - each.lost for each in shown],
        rows,
        "|",
        color=_style.INK,
        markersize=9,
        markeredgewidth=2,
        label="net change",
    )
    axes.axvline(0, color=_style.INK, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    _style.label_rows(axes, [each.name for each in shown])
    axes.set_xlabel("images")
    axes.grid(axis="x")
    count = f"{len(shown)} of {len(found):,} classes"
    rest = ", the most changed" if len(shown) < len(changed) else ""
    axes.set_title(f"Images that became right or wrong: {count}{rest}")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def draw_curves(candidates: Mapping[str, Candidate]) -> "Figure":
    """Draw loss and accuracy of each candidate over its epochs; of a family, thin lines for its
    runs, and their mean over the epochs that all of them have.

    Args:
        candidates: by label.
    """
    logs = {label: [run.log for run in each.runs] for label, each in candidates.items()}
    figure, panels = _families.make_curve_panels([log for runs in logs.values() for log in runs])
    for key, axes in panels.items():
        for index, (label, runs) in enumerate(logs.items()):
            curves = [[getattr(epoch, key) for epoch in log] for log in runs]
            _draw_candidate(axes, curves, label, index)
    first, *_ = panels.values()
    first.legend()
    return figure


def _draw_candidate(
    axes: "Axes", curves: Sequence[Sequence[float]], label: str, index: int
) -> None:
    color = _style.COLORS[index % len(_style.COLORS)]
    line_style = _style.LINE_STYLES[index % len(_style.LINE_STYLES)]
    name = f"{label}, mean of {len(curves)} runs" if len(curves) > 1 else label
    _families.plot_mean(axes, curves, linestyle=line_style, color=color, label=name)
    for curve in curves if len(curves) > 1 else ():
        axes.plot(range(1, len(curve) + 1), curve, color=color, linewidth=0.6, alpha=0.6)
