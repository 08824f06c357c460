"""A compressed model beside its original: accuracy against latency and size. Light zone.

Vertical lines are confidence intervals of the accuracy (Wilson). The latency of the original is
that of float32 in the same runtime.
"""

from typing import TYPE_CHECKING

from imgcls.comparison.conclusion import find_side
from imgcls.compression.record import read_compression
from imgcls.compression.table_record import ComparedSplit, CompressionTable
from imgcls.figures import Subject, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIB = 2**20
UNITS = {"MiB": MIB, "KiB": 2**10, "bytes": 1}
"""Units of a size, each with its bytes: the first of which the larger file has one is used."""

RUNTIMES = {"litert": "LiteRT", "tensorflow": "TensorFlow"}

HOW_TO_READ = (
    "Further up is more accurate, further left is faster or smaller; intervals that overlap "
    "may be chance."
)


class Settings(PartSettings):
    """The figure of a compressed model has no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw a panel each for the latency of one image, that of a batch, and the size of the file;
    the accuracy is that of the test split, if there is one.
    """
    table = subject.compression_table
    shown = table.compared[-1]
    costs = table.before, table.after
    unit = next(name for name, size in UNITS.items() if max(each.bytes for each in costs) >= size)
    panels = {
        "latency of one image, ms": [each.milliseconds_1 for each in costs],
        "latency of 64 images, ms": [each.milliseconds_64 for each in costs],
        f"size of the file, {unit}": [each.bytes / UNITS[unit] for each in costs],
    }
    figure = _style.make_figure(_style.WIDTH, 4.2)
    for axes, (label, values) in zip(
        figure.subplots(1, 3, sharey=True), panels.items(), strict=True
    ):
        _draw_models(axes, shown, values)
        axes.set_xlabel(label)
        axes.grid()
    first = figure.axes[0]
    first.set_ylabel(f"accuracy, with {100 * table.confidence:g} % confidence interval")
    figure.suptitle(
        _describe(table, shown, _name_methods(subject)),
        x=0.01,
        horizontalalignment="left",
        fontsize=10,
        fontweight="bold",
    )
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return figure


def _draw_models(axes: "Axes", shown: ComparedSplit, values: list[float]) -> None:
    """Draw both models, and an arrow from the original to the compressed one.

    Args:
        values: where they are on the horizontal axis, which begins at 0.
    """
    accuracies = [shown.original, shown.accuracy]
    ends = [shown.original_interval, shown.interval]
    axes.annotate(
        "",
        xy=(values[1], accuracies[1]),
        xytext=(values[0], accuracies[0]),
        arrowprops={"arrowstyle": "->", "color": _style.FAINT, "shrinkA": 6, "shrinkB": 6},
    )
    for i, (name, marker) in enumerate((("original", "o"), ("compressed", "s"))):
        low, high = ends[i]
        axes.errorbar(
            values[i],
            accuracies[i],
            yerr=[[accuracies[i] - low], [high - accuracies[i]]],
            fmt=marker,
            markersize=7,
            color=_style.COLORS[i],
            label=name,
        )
    axes.set_xlim(0, 1.15 * max(values))


def _name_methods(subject: Subject) -> str:
    return read_compression(subject.run.compression_file).describe()


def _describe(table: CompressionTable, shown: ComparedSplit, methods: str) -> str:
    """Return what was gained and lost, in three lines."""
    before, after = table.before, table.after
    size = after.bytes / before.bytes
    latency = after.milliseconds_1 / before.milliseconds_1
    slower = "slower, with " if latency > 1 else ""
    gained = f"{size:.2f} of the size, {slower}{latency:.2f} of the latency of one image"
    points = 100 * shown.difference
    change = f"the accuracy differs by {points:+.2f} points"
    if interval := shown.difference_interval:
        low, high = (100 * end for end in interval)
        change = f"{change} [{low:+.2f}, {high:+.2f}]"
    side = find_side(shown.difference_interval)
    result = {1: "higher on these images", -1: "lower on these images"}
    conclusion = result.get(side, "no difference shown")
    source = "split" if shown.images_from == "store" else "images that the run keeps"
    where = f"{shown.split} {source}, {shown.images:,} images; latency in {RUNTIMES[table.runtime]}"
    return f"{methods}: {gained};\n{change}: {conclusion}\n({where})"
