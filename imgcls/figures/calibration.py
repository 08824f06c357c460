"""Reliability diagram: accuracy of predictions by their confidence. Light zone.

Guo et al., 2017, section 2.
"""

from typing import TYPE_CHECKING

from imgcls.figures import Subject, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Settings(PartSettings):
    """The reliability diagram has no settings; its bins are those of the metric `calibration`."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the accuracy of each bin of confidence, and below it the number of images."""
    import numpy

    result = subject.compute_metric("calibration")
    bins = result.tables["calibration"]
    filled = [row for row in bins if row["count"]]
    width = 1 / len(bins)
    figure = _style.make_figure(5.5, 6.0)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    upper.bar(
        numpy.array([row["above"] for row in filled]) + width / 2,
        [row["accuracy"] for row in filled],
        width * 0.92,
        label="accuracy in the bin",
    )
    upper.plot(
        [0, 1], [0, 1], color=_style.INK, linestyle="--", linewidth=1, label="perfect calibration"
    )
    points = [row["confidence"] for row in filled], [row["accuracy"] for row in filled]
    upper.scatter(
        *points, s=14, color=_style.COLORS[1], zorder=3, label="mean confidence and accuracy"
    )
    upper.set(ylim=(0, 1.02), ylabel="accuracy")
    error = result.scalars["expected_calibration_error"]
    upper.set_title(
        f"Reliability ({subject.evaluated_title})\nexpected calibration error {error:.4f}"
    )
    lower.bar(
        numpy.array([row["above"] for row in bins]) + width / 2,
        [row["count"] for row in bins],
        width * 0.92,
        color=_style.FAINT,
    )
    lower.set(
        xlim=(0, 1), xlabel="confidence: the probability of the predicted class", ylabel="images"
    )
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.locator_params(axis="y", nbins=4, integer=True)
    for axes in (upper, lower):
        axes.grid(axis="y")
    figure.legend(loc="outside lower left", ncols=2)
    return figure
