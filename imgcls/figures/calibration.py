"""Reliability diagram: accuracy of predictions by their confidence, before and after the
temperature. Light zone.

Guo et al., 2017, section 2. Vertical lines are confidence intervals of a bin's accuracy (Wilson);
bins with few images have long ones.
"""

from typing import TYPE_CHECKING

from imgcls.evaluation.intervals import compute_wilson_interval
from imgcls.evaluation.predictions import undo_temperature
from imgcls.figures import Subject, _style
from imgcls.metrics import Result
from imgcls.metrics.accuracy import is_correct
from imgcls.metrics.calibration import compute_confidence
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOW_TO_READ = (
    "Dots on the diagonal mean that a confidence of 0.8 is right in 80 % of cases; below it, "
    "the model is overconfident."
)


class Settings(PartSettings):
    """The reliability diagram has no settings; its bins are those of the metric `calibration`."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw mean confidence and accuracy of each bin, and below it the number of images."""
    uncalibrated = undo_temperature(subject.predictions)
    after, level = subject.compute_metric("calibration"), subject.experiment.evaluate.confidence
    before = subject.compute_metric("calibration", uncalibrated) if uncalibrated else None
    figure = _style.make_figure(5.5, 6.0)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    upper.plot(
        [0, 1], [0, 1], color=_style.INK, linestyle="--", linewidth=1, label="perfect calibration"
    )
    if before is None:
        _draw_bins(upper, lower, after, level, "accuracy in the bin", _style.COLORS[0])
    else:
        _draw_bins(upper, lower, before, level, "before the temperature", _style.FAINT)
        _draw_bins(upper, lower, after, level, "after it", _style.COLORS[0])
    upper.set(xlim=(0, 1), ylim=(-0.02, 1.02))
    upper.set_ylabel(f"accuracy, with {100 * level:g} % confidence interval")
    upper.set_title(f"{_describe(before, after, subject)}\n({subject.evaluated_title})")
    lower.set(xlabel="confidence: the probability of the predicted class", ylabel="images")
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.locator_params(axis="y", nbins=4, integer=True)
    for axes in (upper, lower):
        axes.grid(axis="y")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def _draw_bins(
    upper: "Axes", lower: "Axes", result: Result, level: float, label: str, color: str
) -> None:
    """Draw the bins that are not empty; the area of a dot grows with the fraction of images.

    Args:
        level: of the confidence intervals, 0..1.
    """
    import numpy

    rows = result.tables["calibration"]
    names = ("above", "count", "confidence", "accuracy")
    above, images, *means = (numpy.array([row[name] for row in rows], float) for name in names)
    count, confidence, accuracy = (each[images > 0] for each in (images, *means))
    correct = numpy.rint(accuracy * count)
    pairs = zip(correct.astype(int).tolist(), count.astype(int).tolist(), strict=True)
    ends = [compute_wilson_interval(*pair, level) for pair in pairs]
    upper.vlines(confidence, *numpy.transpose(ends), color=color, linewidth=1, alpha=0.6)
    areas = 12 + 80 * count / count.sum()
    upper.scatter(confidence, accuracy, s=areas, color=color, zorder=3, label=label)
    lower.stairs(images, numpy.append(above, 1.0), color=color, linewidth=1.5)


def _describe(before: Result | None, after: Result, subject: Subject) -> str:
    """Return what the figure shows, in a line."""
    name = "expected_calibration_error"
    error = f"{after.scalars[name]:.4f}"
    if before is None:
        confidence = subject.predictions.per_image(compute_confidence).mean()
        accuracy = subject.predictions.per_image(is_correct).mean()
        means = f"Mean confidence {confidence:.4f}, accuracy {accuracy:.4f},"
        return f"{means}\nexpected calibration error {error}"
    old = f"{before.scalars[name]:.4f}"
    if old == error:
        change = f"leaves the expected calibration\nerror at {error}"
    else:
        verb = "lowers" if float(error) < float(old) else "raises"
        change = f"{verb} the expected calibration\nerror from {old} to {error}"
    return f"The temperature {subject.predictions.temperature:.2f} {change}"
