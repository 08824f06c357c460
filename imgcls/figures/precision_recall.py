"""Precision-recall curves: each class against the rest, with average precision (AP). Light zone."""

from typing import TYPE_CHECKING

from imgcls.figures import Subject, _one_vs_rest
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy
    from matplotlib.figure import Figure

HOW_TO_READ = (
    "The further to the upper right, the better; a curve that drops early has false alarms "
    "among its most probable images."
)


class Settings(PartSettings):
    """Precision-recall curves have no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the curves."""
    # Average precision is a sum of rectangles: the area under the curve drawn as steps.
    kind = _one_vs_rest.Kind(
        "Precision-recall curves",
        "average_precision",
        "average_precision",
        "AP",
        "steps-pre",
        _compute_curve,
        _compute_point,
    )
    figure = _one_vs_rest.draw(kind, subject)
    figure.axes[0].set(xlabel="recall", ylabel="precision")
    return figure


def _compute_curve(truth: "numpy.ndarray", score: "numpy.ndarray") -> _one_vs_rest.Curve:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(truth, score)
    return _one_vs_rest.Curve(recall[::-1], precision[::-1])


def _compute_point(truth: "numpy.ndarray", positive: "numpy.ndarray") -> tuple[float, float]:
    """Return recall and precision; precision is 1 if nothing is predicted as positive."""
    precision = truth[positive].mean() if positive.any() else 1.0
    return float(positive[truth].mean()), float(precision)
