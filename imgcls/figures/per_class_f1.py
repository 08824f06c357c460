"""F1 of each class: with bootstrap intervals, the classes with the lowest F1 first. Light zone.

The interval is that of the percentile bootstrap over images: true and false positives and false
negatives of a class in a bootstrap sample are a draw of a multinomial distribution.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.figures import NotDrawableError, Subject, _style
from imgcls.parts import PartSettings
from imgcls.seeds import derive_seed

if TYPE_CHECKING:
    import numpy
    from matplotlib.figure import Figure

HOW_TO_READ = (
    "Classes whose intervals overlap may differ by chance; a cross left of the bar means that "
    "images of the class are missed."
)


class Settings(PartSettings):
    """The settings of the F1 of each class."""

    rows: Annotated[int, Field(ge=1)] = 60
    """Classes shown, at most: those with the lowest F1."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw a dot for the F1 of each class, with its interval, precision and recall.

    Raises:
        NotDrawableError: no class has an image in the split.
    """
    import numpy

    result = subject.compute_metric("classification")
    f1 = numpy.array([numpy.nan if each is None else each for each in result.per_class["f1"]])
    order = numpy.argsort(f1, kind="stable")[: int(numpy.isfinite(f1).sum())]
    if not len(order):
        raise NotDrawableError("no class has an image in the split")
    shown = order[: settings.rows]
    level = subject.experiment.evaluate.confidence
    low, high = _bootstrap(subject, shown, level)
    names = [subject.predictions.classes[i] for i in shown]
    figure = _style.make_figure(_style.WIDTH, _style.compute_rows_height(len(shown)) + 1.4)
    axes = figure.subplots()
    rows = numpy.arange(len(shown))
    axes.hlines(rows, low, high, color=_style.COLORS[0], linewidth=1.5, alpha=0.7)
    axes.plot(f1[shown], rows, "o", color=_style.COLORS[0], markersize=5, label="F1")
    for i, (name, marker) in enumerate((("precision", "|"), ("recall", "x")), 1):
        values = [result.per_class[name][label] for label in shown]
        axes.plot(values, rows, marker, color=_style.COLORS[i], markersize=5, label=name)
    axes.axvline(float(numpy.nanmean(f1)), color=_style.FAINT, linestyle="--", linewidth=1)
    _style.label_rows(axes, names)
    for row, label in enumerate(shown):
        count = f"n={result.per_class['support'][label]:,}"
        axes.text(1.02, row, count, va="center", fontsize=7, color=_style.FAINT)
    axes.set_xlim(-0.01, 1.01)
    axes.set_xlabel(f"F1, with {100 * level:g} % bootstrap interval; dashed: the mean over classes")
    axes.grid(axis="x")
    axes.set_title(_describe(subject, names[0], f1, shown))
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def _describe(subject: Subject, worst: str, f1: "numpy.ndarray", shown: "numpy.ndarray") -> str:
    few = f", the {len(shown)} lowest of {len(f1)} classes" if len(shown) < len(f1) else ""
    lowest = f"F1 is lowest for {_style.shorten(worst)}, {f1[shown[0]]:.3f}"
    return f"{lowest}\n({subject.evaluated_title}{few})"


def _bootstrap(
    subject: Subject, classes: "numpy.ndarray", level: float
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return the ends of the interval of F1 of some classes, each float64 (classes,)."""
    import numpy

    labels, predicted = subject.predictions.labels, subject.predictions.predicted
    images, samples = len(labels), subject.experiment.evaluate.bootstrap_samples
    generator = numpy.random.Generator(
        numpy.random.Philox(derive_seed(subject.experiment.seed, "bootstrap"))
    )
    ends = []
    for label in classes:
        true, positive = labels == label, predicted == label
        counts = numpy.array(
            [(true & positive).sum(), (~true & positive).sum(), (true & ~positive).sum()]
        )
        rest = images - counts.sum()
        drawn = generator.multinomial(images, [*(counts / images), rest / images], size=samples)
        hits, others = drawn[:, 0], drawn[:, 1] + drawn[:, 2]
        values = 2 * hits / numpy.maximum(2 * hits + others, 1)
        defined = values[2 * hits + others > 0]
        ends.append(numpy.quantile(defined, [(1 - level) / 2, (1 + level) / 2]))
    low, high = numpy.transpose(ends)
    return low, high
