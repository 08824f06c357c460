"""Figures of a search, from study.json alone. Light zone.

matplotlib and numpy are imported inside functions, and figures are drawn within
`imgcls.figures._style.apply_style()`.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from imgcls.figures import _style
from imgcls.tuning.record import SearchedRange, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
"""Panels beside each other."""
MAX_KEYS = 12
"""How many keys are drawn: the most important ones, or the first."""
_LENGTH = 24
"""Letters of a choice."""


def list_figures(record: StudyRecord) -> "dict[str, Callable[[StudyRecord], Figure]]":
    """Return the figures that the trials so far are enough for, by name."""
    finished = list_finished(record)
    if not finished:
        return {}
    drawn: dict[str, Callable[[StudyRecord], Figure]] = {"history": draw_history}
    if len(record.objective) > 1:
        drawn["pareto"] = draw_pareto
    if record.importances:
        drawn["importances"] = draw_importances
    if any(trial.parameters for trial in finished):
        drawn["slices"] = draw_slices
    if len(list_keys(record)) > 1 and len(finished) > 1:
        drawn["parallel_coordinates"] = draw_parallel_coordinates
    return drawn


def list_finished(record: StudyRecord) -> list[TrialRecord]:
    """Return the trials that have values."""
    return [trial for trial in record.trials if trial.values]


def list_keys(record: StudyRecord) -> list[SearchedRange]:
    """Return the keys to draw, the most important first."""
    found = sorted(record.space, key=lambda each: -record.importances.get(each.key, 0.0))
    return found[:MAX_KEYS]


def draw_history(record: StudyRecord) -> "Figure":
    """Draw each objective over the trials, the best so far as a line; trials without a value are
    marks at the lower edge.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _style.make_figure(_style.WIDTH, 2.6 * len(record.objective) + 0.4)
    panels = figure.subplots(len(record.objective), squeeze=False, sharex=True)[:, 0]
    finished = list_finished(record)
    for axes, (name, goal) in zip(panels, record.objective.items(), strict=True):
        allowed = [trial for trial in finished if trial.is_allowed]
        over = [trial for trial in finished if not trial.is_allowed]
        _plot_trials(axes, allowed, name, _style.COLORS[0], "finished")
        _plot_trials(axes, over, name, _style.COLORS[1], "over a limit")
        if len(record.objective) == 1:
            _plot_best(axes, allowed, name, max if goal == "maximize" else min)
        for state, color in (("pruned", _style.COLORS[7]), ("failed", _style.COLORS[4])):
            numbers = [trial.number for trial in record.trials if trial.state == state]
            if numbers:
                axes.plot(
                    numbers,
                    [0.02] * len(numbers),
                    "|",
                    color=color,
                    markersize=9,
                    label=state,
                    transform=axes.get_xaxis_transform(),
                )
        axes.set_ylabel(name)
        axes.grid(axis="y")
    panels[-1].set_xlabel("trial")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=5)
    return figure


def _plot_trials(
    axes: "Axes", trials: Sequence[TrialRecord], name: str, color: str, label: str
) -> None:
    if trials:
        numbers = [trial.number for trial in trials]
        values = [trial.values[name] for trial in trials]
        axes.plot(numbers, values, "o", color=color, markersize=4, label=label)


def _plot_best(
    axes: "Axes", trials: Sequence[TrialRecord], name: str, choose: Callable[..., float]
) -> None:
    values = [trial.values[name] for trial in trials]
    best = [choose(values[: i + 1]) for i in range(len(values))]
    if best:
        numbers = [trial.number for trial in trials]
        axes.step(numbers, best, where="post", color=_style.INK, linewidth=1, label="best so far")


def draw_importances(record: StudyRecord) -> "Figure":
    """Draw how much each key matters, the most important one at the top."""
    shown = sorted(record.importances.items(), key=lambda pair: -pair[1])[:MAX_KEYS]
    figure = _style.make_figure(_style.WIDTH, _style.compute_rows_height(len(shown)) + 0.8)
    axes = figure.subplots()
    axes.barh(range(len(shown)), [value for _, value in shown], color=_style.COLORS[0])
    _style.label_rows(axes, [key for key, _ in shown])
    axes.set_xlabel("importance (PED-ANOVA)")
    axes.grid(axis="x")
    return figure


def draw_slices(record: StudyRecord) -> "Figure":
    """Draw the first objective over the values of each key; later trials are darker."""
    keys, finished = list_keys(record), list_finished(record)
    name = next(iter(record.objective))
    rows = math.ceil(len(keys) / COLUMNS)
    figure = _style.make_figure(_style.WIDTH, 2.3 * rows + 0.4)
    panels = figure.subplots(rows, min(COLUMNS, len(keys)), squeeze=False, sharey=True)
    for axes, key in zip(panels.flat, keys, strict=False):
        trials = [trial for trial in finished if key.key in trial.parameters]
        axes.scatter(
            [place(key, trial.parameters[key.key]) for trial in trials],
            [trial.values[name] for trial in trials],
            c=[trial.number for trial in trials],
            cmap="Blues",
            vmin=-0.5 * len(record.trials),
            vmax=len(record.trials),
            s=18,
            edgecolors=_style.FAINT,
            linewidths=0.3,
        )
        _label_axis(axes, key)
        axes.set_title(_style.shorten(key.key, length=30), fontsize=8)
        axes.grid(axis="y")
    for axes in list(panels.flat)[len(keys) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel(name)
    return figure


def place(key: SearchedRange, value: Any) -> float:
    """Return where a value is drawn on an axis of its key."""
    if key.choices:
        return float(key.choices.index(str(value)))
    return float(value)


def _label_axis(axes: "Axes", key: SearchedRange) -> None:
    if key.choices:
        names = [_style.shorten(choice, length=_LENGTH // 2) for choice in key.choices]
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif key.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def draw_parallel_coordinates(record: StudyRecord) -> "Figure":
    """Draw a line for each trial through its values of all keys; better ones are darker."""
    import matplotlib

    keys, finished = list_keys(record), list_finished(record)
    name, goal = next(iter(record.objective.items()))
    sign = 1 if goal == "maximize" else -1
    ordered = sorted(finished, key=lambda trial: sign * trial.values[name])
    figure = _style.make_figure(_style.WIDTH, 3.6)
    axes = figure.subplots()
    colors = matplotlib.colormaps["Blues"]
    for rank, trial in enumerate(ordered):
        heights = [_find_height(key, trial.parameters.get(key.key)) for key in keys]
        is_best = trial.number in record.best
        shade = colors(0.25 + 0.6 * rank / max(len(ordered) - 1, 1))
        axes.plot(
            range(len(keys)),
            heights,
            "-o",
            markersize=3,
            color=_style.COLORS[1] if is_best else shade,
            linewidth=2 if is_best else 1,
        )
    for column, key in enumerate(keys):
        _label_column(axes, column, key)
    axes.set_xticks(range(len(keys)), [_style.shorten(key.key, length=_LENGTH) for key in keys])
    axes.tick_params(axis="x", rotation=20)
    axes.set_yticks([])
    axes.set_ylim(-0.12, 1.12)
    axes.grid(axis="x")
    axes.set_title(f"Better {name} is darker; the best trial is orange")
    return figure


def _find_height(key: SearchedRange, value: Any) -> float:
    """Return the height of a value on its column, 0..1; NaN, which breaks the line, if there is
    none.
    """
    if value is None:
        return math.nan
    if key.choices:
        return key.choices.index(str(value)) / max(len(key.choices) - 1, 1)
    low, high, number = float(key.low or 0), float(key.high or 0), float(value)
    if key.log:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return (number - low) / (high - low)


def _label_column(axes: "Axes", column: int, key: SearchedRange) -> None:
    ends = key.choices or [f"{key.low:g}", f"{key.high:g}"]
    for height, text, side in ((0, ends[0], "top"), (1, ends[-1], "bottom")):
        shown = _style.shorten(text, length=_LENGTH // 2)
        shift = -0.03 if height == 0 else 0.03
        axes.text(column, height + shift, shown, ha="center", va=side, fontsize=7)


def draw_pareto(record: StudyRecord) -> "Figure":
    """Draw the two objectives of each trial; the front is marked."""
    first, second = record.objective
    finished = list_finished(record)
    figure = _style.make_figure(_style.WIDTH * 0.7, 3.8)
    axes = figure.subplots()
    for is_best, color, label in (
        (False, _style.FAINT, "others"),
        (True, _style.COLORS[1], "front"),
    ):
        shown = [trial for trial in finished if (trial.number in record.best) == is_best]
        axes.plot(
            [trial.values[second] for trial in shown],
            [trial.values[first] for trial in shown],
            "o",
            color=color,
            markersize=5,
            label=label,
        )
        for trial in shown if is_best else ():
            place_ = (trial.values[second], trial.values[first])
            axes.annotate(
                str(trial.number), place_, fontsize=7, xytext=(4, 4), textcoords="offset points"
            )
    axes.set_xlabel(f"{second} ({record.objective[second]})")
    axes.set_ylabel(f"{first} ({record.objective[first]})")
    axes.grid()
    axes.legend()
    return figure
