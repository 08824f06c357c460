"""ROC curves: true against false positive rate of each class against the rest, with the area below
(Fawcett, 2006).

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.figures import Subject, _one_vs_rest, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORNER = 0.1
"""Side of the corner that is shown enlarged."""


class Settings(PartSettings):
    """Settings of the ROC curves: none."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the curves over the diagonal of a guess."""
    figure = _one_vs_rest.draw(
        _one_vs_rest.Kind("ROC curves", "roc", "roc_auc", "AUC", "default", _compute_curve), subject
    )
    axes = figure.axes[0]
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    _enlarge_corner(axes)
    axes.plot([0, 1], [0, 1], color=_style.FAINT, linewidth=0.8, zorder=0)
    return figure


def _compute_curve(truth: "numpy.ndarray", score: "numpy.ndarray") -> _one_vs_rest.Curve:
    from sklearn.metrics import roc_curve

    false_positive_rate, true_positive_rate, _ = roc_curve(truth, score)
    return _one_vs_rest.Curve(false_positive_rate, true_positive_rate)


def _enlarge_corner(axes: "Axes") -> None:
    """Repeat the upper left corner, where the curves of a good model crowd, below the legend."""
    inset = axes.inset_axes((1.13, 0.0, 0.31, 0.31), xlim=(0, CORNER), ylim=(1 - CORNER, 1.002))
    for line in axes.lines:
        inset.plot(
            *line.get_data(),
            color=line.get_color(),
            linestyle=line.get_linestyle(),
            linewidth=line.get_linewidth(),
        )
    inset.set_xticks([0, CORNER / 2, CORNER])
    inset.set_yticks([1 - CORNER, 1 - CORNER / 2, 1])
    inset.tick_params(labelsize=7)
    inset.set_title("upper left corner", fontsize=7, fontweight="normal")
