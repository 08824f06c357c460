"""Confusion matrix: true classes as rows, predicted classes as columns. Light zone.

Colors show fractions of the true class, so that each row adds up to 1; numbers count images, and
below them, of few classes, stand the same fractions in percent. Many classes are ordered so that
those which are confused with each other are neighbors.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.figures import Subject, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from imgcls.metrics import Result

MAX_LABELS = 120
"""The largest number of class names on an axis; of more classes, every k-th has a name."""

HOW_TO_READ = (
    "Each row is a true class; what is off the diagonal is a mistake, and its column says for "
    "which class the images were taken."
)


class Settings(PartSettings):
    """The settings of the confusion matrix."""

    numbers_up_to: Annotated[int, Field(ge=0)] = 20
    """The largest number of classes for which cells show counts; if there are more, the most
    confused pairs are listed below.
    """
    percent_up_to: Annotated[int, Field(ge=0)] = 12
    """The largest number of classes for which cells also show percent of the true class."""
    clustered_from: Annotated[int, Field(ge=2)] = 21
    """The smallest number of classes that are ordered by clustering."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the matrix; rows of classes that are absent from the split are gray."""
    import numpy
    from matplotlib.colors import PowerNorm

    classes, result = subject.predictions.classes, subject.compute_metric("confusion")
    counts = numpy.array(result.matrices["confusion"])
    is_clustered = len(classes) >= settings.clustered_from
    if is_clustered:
        order = cluster(counts)
        counts, classes = counts[order][:, order], [classes[i] for i in order]
    support = counts.sum(axis=1, keepdims=True)
    fractions = numpy.ma.masked_invalid(
        numpy.divide(counts, support, out=numpy.full(counts.shape, numpy.nan), where=support > 0)
    )
    size = min(16.0, 3.5 + len(classes) * min(0.6, max(0.1, 5.0 / len(classes))))
    figure = _style.make_figure(size, size + 0.5)  # the title takes two lines
    axes = figure.subplots()
    # The square root makes a few percent of confusion visible beside a diagonal near 1.
    image = axes.imshow(
        fractions, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest"
    )
    axes.set_facecolor(_style.PAPER)
    _label_axes(axes, classes)
    axes.set_title(_describe(subject, result, is_clustered))
    bar = figure.colorbar(
        image,
        ax=axes,
        shrink=0.5,
        aspect=30,
        pad=0.01,
        ticks=[0, 0.05, 0.2, 0.5, 1],
        format="{x:g}",
    )
    bar.set_label("fraction of the true class")
    if len(classes) <= settings.numbers_up_to:
        _write_counts(axes, counts, fractions, len(classes) <= settings.percent_up_to)
    else:
        figure.supxlabel(_format_most_confused(result), x=0.02, ha="left", fontsize=8)
    return figure


def _label_axes(axes: "Axes", classes: list[str]) -> None:
    stride = -(-len(classes) // MAX_LABELS)
    ticks = range(0, len(classes), stride)
    names = [_style.shorten(classes[i], length=24) for i in ticks]
    size = 8 if len(classes) <= 40 else 6
    axes.set_yticks(ticks, names, fontsize=size)
    fits_horizontally = len(classes) <= 20 and max(map(len, names)) <= 3
    axes.set_xticks(ticks, names, fontsize=size, rotation=0 if fits_horizontally else 90)
    # Tick marks are needed only if some rows have no name.
    axes.tick_params(length=0 if stride == 1 else 3)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.spines[:].set_visible(False)


def cluster(counts: "numpy.ndarray") -> "numpy.ndarray":
    """Return an order of the classes in which those that are confused are neighbors, int64 (n,).

    Average linkage; two classes are the nearer, the larger the fraction of their images that is
    confused, in either direction.

    Args:
        counts: true classes as rows, int64 (n, n).
    """
    import numpy
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    fractions = counts / numpy.maximum(counts.sum(axis=1, keepdims=True), 1)
    distances = 1 - (fractions + fractions.T) / 2
    numpy.fill_diagonal(distances, 0)
    return leaves_list(linkage(squareform(distances, checks=False), "average"))


def format_count(count: object) -> str:
    """Return a number of images in words."""
    return f"{count} image{'' if count == 1 else 's'}"


def _describe(subject: Subject, result: "Result", is_clustered: bool) -> str:
    """Return what the matrix shows, in a line or two."""
    predictions = subject.predictions
    text = f"{(predictions.predicted == predictions.labels).mean():.2%} are classified correctly"
    if pairs := result.tables["most_confused"]:
        true, predicted = (_style.shorten(str(pairs[0][key])) for key in ("true", "predicted"))
        text += f"; most confused: {true} → {predicted}, {format_count(pairs[0]['count'])}"
    order = ", classes ordered by clustering" if is_clustered else ""
    return f"{text}\n({subject.evaluated_title}{order})"


def _write_counts(
    axes: "Axes", counts: "numpy.ndarray", fractions: "numpy.ndarray", with_percent: bool
) -> None:
    size = 9 if len(counts) <= 6 else 7
    for row, column in zip(*counts.nonzero(), strict=True):
        color = "white" if fractions[row, column] > 0.4 else _style.INK
        percent = f"\n{fractions[row, column]:.1%}" if with_percent else ""
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}{percent}",
            ha="center",
            va="center",
            fontsize=size,
            color=color,
        )


def _format_most_confused(result: "Result") -> str:
    pairs = result.tables["most_confused"]
    lines = [
        f"{pair['count']} ({pair['fraction']:.0%}): {_style.shorten(str(pair['true']))} →"
        f" {_style.shorten(str(pair['predicted']))}"
        for pair in pairs
    ]
    return "\n".join(
        ["Most confused: images (fraction of the true class): true → predicted", *lines]
    )
