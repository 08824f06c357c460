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

INSET = 0.1
"""Range of both rates in the enlarged inset."""


class Settings(PartSettings):
    """ROC curves have no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the curves, and the diagonal of a random classifier."""
    figure = _one_vs_rest.draw(
        _one_vs_rest.Kind("ROC curves", "roc", "roc_auc", "AUC", "default", _compute_curve), subject
    )
    axes = figure.axes[0]
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    _draw_inset(axes)
    axes.plot([0, 1], [0, 1], color=_style.FAINT, linewidth=0.8, zorder=0)
    return figure


def _compute_curve(truth: "numpy.ndarray", score: "numpy.ndarray") -> _one_vs_rest.Curve:
    from sklearn.metrics import roc_curve

    false_positive_rate, true_positive_rate, _ = roc_curve(truth, score)
    return _one_vs_rest.Curve(false_positive_rate, true_positive_rate)


def _draw_inset(axes: "Axes") -> None:
    """Enlarge the upper left corner, where the curves of good models overlap, below the legend."""
    inset = axes.inset_axes((1.13, 0.0, 0.31, 0.31), xlim=(0, INSET), ylim=(1 - INSET, 1.002))
    for line in axes.lines:
        inset.plot(
            *line.get_data(),
            color=line.get_color(),
            linestyle=line.get_linestyle(),
            linewidth=line.get_linewidth(),
        )
    inset.set_xticks([0, INSET / 2, INSET])
    inset.set_yticks([1 - INSET, 1 - INSET / 2, 1])
    inset.tick_params(labelsize=7)
    inset.set_title("upper left corner", fontsize=7, fontweight="normal")
