"""Learning rate: the schedule over all steps, and the rate at the end of each epoch as logged.
Light zone.

Dots beside the line are epochs in which a plateau or a divergence lowered the rate.
"""

from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.figures import NotDrawableError, Subject, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy
    from matplotlib.figure import Figure

POINTS = 2000
"""Steps at which the schedule is computed, at most."""
LOG_ABOVE = 30.0
"""The ratio of the highest rate to the lowest one above which the axis is logarithmic."""

HOW_TO_READ = "The line is what was planned, the dots what was used at the end of each epoch."


class Settings(PartSettings):
    """The learning rate's figure has no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the schedule as a line over epochs, and the log as dots.

    Raises:
        NotDrawableError: no step was trained.
    """
    from matplotlib.ticker import MaxNLocator

    log = subject.log
    if not log[-1].step:
        raise NotDrawableError(f"{subject.run.folder} trained no step, so it has no learning rate")
    epochs, rates = _compute_schedule(subject)
    figure = _style.make_figure(_style.WIDTH, 3.4)
    axes = figure.subplots()
    axes.plot(epochs, rates, label=f"schedule: {subject.experiment.train.schedule.name}")
    logged = [each.epoch for each in log], [each.learning_rate for each in log]
    axes.plot(*logged, "o", color=_style.COLORS[1], markersize=3.5, label="last step of the epoch")
    positive = [rate for rate in [*rates.tolist(), *logged[1]] if rate > 0]
    highest = max(positive, default=0.0)
    if positive and highest / sorted(positive)[len(positive) // 20] > LOG_ABOVE:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, None)
    axes.set(xlabel="epoch", ylabel="learning rate")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0, max(log[-1].epoch, 1) * 1.02)
    axes.grid()
    last = f"{log[-1].learning_rate:.3g} in the last of {log[-1].step:,} steps"
    axes.set_title(f"Learning rate: {max(logged[1] + rates.tolist()):.3g} at the peak, {last}")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


def _compute_schedule(subject: Subject) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return the ends of steps in epochs, and their learning rates, each float64 (n,)."""
    import numpy

    train, last = subject.experiment.train, subject.log[-1]
    planned = train.epochs or last.epoch
    steps_per_epoch = max(last.step // max(last.epoch, 1), 1)
    total = steps_per_epoch * max(planned, last.epoch)
    shown = steps_per_epoch * max(last.epoch, 1)
    steps = numpy.unique(numpy.linspace(0, shown - 1, min(shown, POINTS)).round().astype(int))
    scaling = train.learning_rate_scaling
    factor = scaling.compute_factor(train.batch_size) if scaling else 1.0
    peak = train.optimizer.learning_rate * factor
    part = parts.load_for("schedules", train.schedule)
    rates = part.compute(train.schedule, peak, steps, total, steps_per_epoch)
    return (steps + 1) / steps_per_epoch, numpy.broadcast_to(rates, steps.shape)
