"""Predicted probabilities: the probability of the true class, for the images of each class.

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.figures import Subject, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from imgcls.evaluation.predictions import Predictions

HOW_TO_READ = "Boxes near 1 are classes that are recognized with confidence; dots are the mistakes."


class Settings(PartSettings):
    """The settings of predicted probabilities."""

    rows: Annotated[int, Field(ge=1)] = 200
    """Classes shown, at most: those with the lowest median."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw a box per class, and a dot per misclassified image.

    Boxes show median and quartiles; whiskers extend to the 5th and 95th percentile.
    """
    import numpy

    predictions = subject.predictions
    groups = group_by_true_class(predictions)
    shown = sorted(sorted(groups, key=lambda label: numpy.median(groups[label]))[: settings.rows])
    figure = _style.make_figure(_style.WIDTH, _style.compute_rows_height(len(shown)) + 1.2)
    axes = figure.subplots()
    axes.boxplot(
        [groups[label] for label in shown],
        positions=range(len(shown)),
        orientation="horizontal",
        widths=0.6,
        whis=(5, 95),
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={
            "facecolor": _style.COLORS[0],
            "edgecolor": _style.INK,
            "linewidth": 0.6,
            "alpha": 0.6,
        },
        medianprops={"color": _style.INK, "linewidth": 2, "solid_capstyle": "butt"},
        whiskerprops={"linewidth": 0.8},
        capprops={"linewidth": 0.8},
    )
    _draw_misclassified(axes, predictions, shown)
    _style.label_rows(axes, [predictions.classes[label] for label in shown])
    for row, label in enumerate(shown):
        axes.text(
            1.02, row, f"n={len(groups[label]):,}", va="center", fontsize=7, color=_style.FAINT
        )
    axes.set_xlim(-0.01, 1.01)
    axes.set_xlabel("probability of the true class")
    axes.grid(axis="x")
    few = f", the {len(shown)} lowest of {len(groups)} classes" if len(shown) < len(groups) else ""
    axes.set_title(f"Predicted probabilities ({subject.evaluated_title}{few})")
    figure.legend(loc="outside lower left")
    return figure


def group_by_true_class(predictions: "Predictions") -> "dict[int, numpy.ndarray]":
    """Return the probabilities of the true class, by class.

    Returns:
        float32 (images,) for each class with images in the split.
    """
    import numpy

    labels = predictions.labels
    probabilities = predictions.probabilities[numpy.arange(len(labels)), labels]
    return {int(label): probabilities[labels == label] for label in numpy.unique(labels)}


def _draw_misclassified(axes: "Axes", predictions: "Predictions", shown: list[int]) -> None:
    rows = {label: row for row, label in enumerate(shown)}
    misclassified = (predictions.predicted != predictions.labels).nonzero()[0]
    dots = [
        (predictions.probabilities[i, label], rows[label])
        for i in misclassified
        if (label := int(predictions.labels[i])) in rows
    ]
    x, y = zip(*dots, strict=True) if dots else ((), ())
    name = f"predicted as another class ({len(dots):,} images)"
    axes.scatter(x, y, s=9, color=_style.COLORS[1], alpha=0.7, linewidths=0, zorder=3, label=name)
