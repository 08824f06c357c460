"""Risk-coverage curve: the fraction of mistakes among the images that are confident enough.

Light zone. El-Yaniv and Wiener, 2010; Geifman and El-Yaniv, 2017. The dot is the threshold that the
metric `risk_coverage` chooses on the validation split, with confidence intervals (Wilson).
"""

from typing import TYPE_CHECKING, cast

from imgcls.evaluation.intervals import compute_wilson_interval
from imgcls.figures import Subject, _style
from imgcls.metrics import Result
from imgcls.metrics.risk_coverage import compute_curve
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOW_TO_READ = (
    "Read from the right: by rejecting the least confident images, so much of the risk is avoided."
)


class Settings(PartSettings):
    """The risk-coverage curve has no settings; its threshold is the metric `risk_coverage`'s."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the risk at each coverage, and the chosen threshold."""
    import numpy

    result, curve = subject.compute_metric("risk_coverage"), compute_curve(subject.predictions)
    risk = numpy.append(curve.risk[0], curve.risk)
    figure = _style.make_figure(_style.WIDTH, 4.5)
    axes = figure.subplots()
    axes.plot(
        numpy.append(0, curve.coverage),
        risk,
        drawstyle="steps-pre",
        label=f"least confident images rejected first, area {result.scalars['aurc']:.4f}",
    )
    axes.axhline(
        risk[-1],
        color=_style.FAINT,
        linewidth=1,
        linestyle=":",
        label=f"images rejected at random, risk {risk[-1]:.4f}",
    )
    _draw_threshold(axes, result, subject.experiment.evaluate.confidence)
    axes.set(xlim=(0, 1.01), xlabel="coverage: the fraction of images accepted")
    axes.set(ylim=(0, None), ylabel="risk: the fraction of mistakes among them")
    axes.grid()
    axes.set_title(f"{_describe(result)}\n({subject.evaluated_title})")
    figure.legend(loc="outside lower left")
    return figure


def _draw_threshold(axes: "Axes", result: Result, level: float) -> None:
    """Draw the risk wanted, and what the threshold reaches, if there is one.

    Args:
        level: of the confidence intervals, 0..1.
    """
    for row in result.tables["selective_classification"]:
        wanted = cast(float, row["wanted_precision"])
        label = f"wanted: precision {wanted:g}"
        axes.axhline(1 - wanted, color=_style.INK, linewidth=1, linestyle="--", label=label)
    correct, accepted = result.fractions["selective_precision"]
    _, images = result.fractions["selective_coverage"]
    if accepted:
        risk, coverage = 1 - correct / accepted, accepted / images
        low, high = compute_wilson_interval(accepted - correct, accepted, level)
        left, right = compute_wilson_interval(accepted, images, level)
        axes.errorbar(
            coverage,
            risk,
            xerr=[[coverage - left], [right - coverage]],
            yerr=[[risk - low], [high - risk]],
            fmt="o",
            color=_style.COLORS[1],
            label=f"threshold chosen on validation, with {100 * level:g} % confidence intervals",
        )


def _describe(result: Result) -> str:
    """Return what the threshold does, in a line."""
    rows = result.tables["selective_classification"]
    if not rows:
        return "Risk by coverage"
    (row,) = rows
    wanted, threshold = row["wanted_precision"], row["threshold"]
    if threshold is None:
        return f"No threshold reaches a precision of {wanted:g} on validation"
    correct, accepted = result.fractions["selective_precision"]
    _, images = result.fractions["selective_coverage"]
    text = f"A confidence of at least {threshold:.4f} accepts {accepted / images:.1%} of images"
    return f"{text}, of which {correct / accepted:.2%} are right" if accepted else text
