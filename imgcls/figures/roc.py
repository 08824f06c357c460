"""ROC curves: each class against the rest, with the area under the curve (AUC). Light zone.

Fawcett, 2006.
"""

from typing import TYPE_CHECKING

from imgcls.figures import Subject, _one_vs_rest, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INSETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Ranges of both rates that the enlarged inset may have."""

HOW_TO_READ = "The further to the upper left, the better; the diagonal is a guess."


class Settings(PartSettings):
    """ROC curves have no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the curves, and the diagonal of a random classifier."""
    kind = _one_vs_rest.Kind(
        "ROC curves", "roc", "roc_auc", "AUC", "default", _compute_curve, _compute_point
    )
    figure = _one_vs_rest.draw(kind, subject)
    axes = figure.axes[0]
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    _draw_inset(axes)
    axes.plot([0, 1], [0, 1], color=_style.FAINT, linewidth=0.8, zorder=0)
    return figure


def _compute_curve(truth: "numpy.ndarray", score: "numpy.ndarray") -> _one_vs_rest.Curve:
    from sklearn.metrics import roc_curve

    false_positive_rate, true_positive_rate, _ = roc_curve(truth, score)
    return _one_vs_rest.Curve(false_positive_rate, true_positive_rate)


def _compute_point(truth: "numpy.ndarray", positive: "numpy.ndarray") -> tuple[float, float]:
    """Return the false and the true positive rate."""
    return float(positive[~truth].mean()), float(positive[truth].mean())


def _draw_inset(axes: "Axes") -> None:
    """Enlarge the upper left corner, where the curves of good models overlap, below the legend.

    Its range is the smallest that every curve passes through; curves of which one passes through
    none do not overlap there, and have no inset.
    """
    size = next((size for size in INSETS if _pass_through(axes, size)), None)
    if size is None:
        return
    inset = axes.inset_axes(
        (1.13, 0.0, 0.31, 0.31), xlim=(0, size), ylim=(1 - size, 1 + 0.02 * size)
    )
    for line in axes.lines:
        inset.plot(
            *line.get_data(),
            color=line.get_color(),
            linestyle=line.get_linestyle(),
            linewidth=line.get_linewidth(),
        )
    inset.set_xticks([0, size / 2, size], [f"{each:g}" for each in (0, size / 2, size)])
    ticks = (1 - size, 1 - size / 2, 1)
    inset.set_yticks(ticks, [f"{each:g}" for each in ticks])
    inset.tick_params(labelsize=7)
    inset.set_title("upper left corner", fontsize=7, fontweight="normal")


def _pass_through(axes: "Axes", size: float) -> bool:
    """Tell whether every curve has a point in the corner inside the axes of the inset."""
    import numpy

    points = [numpy.asarray(line.get_xydata()) for line in axes.lines]
    return all(((xy[:, 0] <= size) & (xy[:, 1] >= 1 - size)).any() for xy in points)
