"""Timing: where the seconds of each epoch went, and how many images a second were trained. Light
zone.

Stages of the loader run beside the training steps, so they are not part of the bars.
"""

from typing import TYPE_CHECKING

from imgcls.figures import Subject, _style
from imgcls.parts import PartSettings
from imgcls.training import history

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BARS = 200
"""The largest number of epochs of which each has a bar; of more, every k-th is shown."""
LABELS = {"steps": "training steps", "validation": "validation", "saving": "saving"}

HOW_TO_READ = (
    "If the device waits for data much of the time, more data workers or smaller stored "
    "images help more than a faster device."
)


class Settings(PartSettings):
    """The timing has no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw a bar for each epoch, divided into stages, and the speed below it."""
    import numpy
    from matplotlib.ticker import MaxNLocator

    log = subject.log[:: -(-len(subject.log) // MAX_BARS)]
    epochs = [each.epoch for each in log]
    figure = _style.make_figure(_style.WIDTH, 4.8)
    seconds, speed = figure.subplots(2, sharex=True, height_ratios=[3, 2])
    bottom = numpy.zeros(len(log))
    width = 0.8 * max(1.0, (epochs[-1] - epochs[0]) / max(len(log) - 1, 1))
    for i, stage in enumerate(history.FOREGROUND):
        values = numpy.array([getattr(each.stage_seconds, stage) for each in log])
        seconds.bar(
            epochs, values, width, bottom=bottom, color=_style.COLORS[i], label=LABELS[stage]
        )
        bottom += values
    rest = numpy.maximum(numpy.array([each.seconds for each in log]) - bottom, 0)
    seconds.bar(epochs, rest, width, bottom=bottom, color=_style.FAINT, label="other")
    marker = "o" if len(log) <= 40 else None
    speed.plot(epochs, [each.images_per_second for each in log], marker=marker, markersize=3)
    speed.set_ylim(0, None)
    seconds.set_ylabel("seconds")
    speed.set(xlabel="epoch", ylabel="images per second")
    speed.yaxis.set_major_formatter("{x:,.0f}")
    speed.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    margin = max(0.7, width)
    speed.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    for axes in (seconds, speed):
        axes.grid(axis="y")
    seconds.set_title(_describe(subject))
    figure.legend(*seconds.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


def _describe(subject: Subject) -> str:
    log = subject.log
    total = sum(each.seconds for each in log)
    steps = sum(each.stage_seconds.steps for each in log)
    waited = sum(each.input_wait * each.stage_seconds.steps for each in log)
    share = f"{steps / total:.0%} in training steps" if total else "of which none was measured"
    wait = f"; the device waited for data {waited / steps:.0%} of them" if steps else ""
    return f"{format_seconds(total)} in {len(log)} epochs, {share}{wait}"


def format_seconds(seconds: float) -> str:
    """Return a duration for people: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
