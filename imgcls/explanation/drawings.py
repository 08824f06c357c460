"""Figures of explanations: pictures with their maps, scores, and mean maps. Light zone."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgcls.explanation.record import MOST_SIMILAR, CurveScore, ExplainedImage, MethodScores
from imgcls.explanation.sentences import get_title
from imgcls.figures import _style

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_IMAGES = 24
"""Pictures on a sheet, at most."""
PAIRS = 4
"""Pictures side by side, each with its map."""
COLOR_MAP = "PuOr_r"
"""From purple, against the class, over white to orange, for it; safe for color-blind readers."""
_COLUMNS = 96  # letters of a title on a line
_GAP = 0.12  # of the width of a picture


def draw_sheet(
    pixels: "numpy.ndarray",
    maps: "numpy.ndarray",
    images: Sequence[ExplainedImage],
    scores: MethodScores,
    is_signed: bool,
) -> "Figure":
    """Draw pictures beside their maps, with class and probability below.

    Args:
        pixels: uint8 (images, height, width, channels).
        maps: float32 (images, height, width).
        is_signed: whether the maps have negative values.
    """
    count = min(len(images), MOST_IMAGES)
    columns = min(PAIRS, count)
    rows = -(-count // columns)
    height, width = maps.shape[1:]
    tall = height / width
    step = tall + 0.36  # with the caption
    side = _style.WIDTH / (columns * (2 + 2 * _GAP)) if columns == PAIRS else 1.4
    figure = _style.make_figure(columns * (2 + 2 * _GAP) * side + 0.2, rows * step * side + 0.8)
    axes = figure.subplots()
    for i in range(count):
        left, top = (i % columns) * (2 + 2 * _GAP), (i // columns) * step
        picture = _to_rgb(pixels[i])
        for place, shown in ((left, picture), (left + 1 + _GAP / 2, _overlay(picture, maps[i]))):
            axes.imshow(shown, extent=(place, place + 1, top + tall, top), interpolation="nearest")
        axes.text(left, top + tall + 0.05, _caption(images[i]), va="top", fontsize=7)
    axes.set(xlim=(-0.02, columns * (2 + 2 * _GAP)), ylim=(rows * step, -0.02), aspect="equal")
    axes.set(xticks=[], yticks=[])
    axes.set_axis_off()
    colors = "orange speaks for the class" + (", purple against it" if is_signed else "")
    rest = f"; {count} of {len(images)} images" if count < len(images) else ""
    figure.supxlabel(f"Beside each picture its map: {colors}{rest}", fontsize=8)
    _write_title(axes, scores.finding, 40 if columns < 3 else _COLUMNS)
    return figure


def draw_scores(scores: MethodScores) -> "Figure":
    """Draw deletion and insertion beside a random map, and the similarity with random weights."""
    figure = _style.make_figure(_style.WIDTH, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
    for row, score in enumerate((scores.deletion, scores.insertion)):
        sign = 1 if row else -1
        low, high = sorted(score.random_area + sign * end for end in score.gain_interval)
        names = ("", "") if row else ("the maps", "random maps")
        left.plot([low, high], [row, row], color=_style.COLORS[0], linewidth=3, alpha=0.6)
        left.plot(score.area, row, "o", color=_style.COLORS[0], label=names[0])
        hollow = {"color": _style.INK, "markerfacecolor": "none"}
        left.plot(score.random_area, row, "D", label=names[1], **hollow)
    left.set_yticks([0, 1], ["deletion\n(lower is better)", "insertion\n(higher is better)"])
    left.set(ylim=(1.6, -0.6), xlim=(0, 1), xlabel="area under the probability")
    left.set_title(_tell_areas(scores.deletion, scores.insertion))
    left.legend(loc="lower left", bbox_to_anchor=(0, 0.38))
    _draw_similarity(right, scores)
    figure.suptitle(
        f"{get_title(scores.method)}, {scores.images} images", x=0.01, ha="left", fontsize=9
    )
    return figure


def _tell_areas(deletion: CurveScore, insertion: CurveScore) -> str:
    better = sum(score.is_better for score in (deletion, insertion))
    return f"The maps beat random ones in {('neither score', 'one score', 'both scores')[better]}"


def _draw_similarity(axes: "Axes", scores: MethodScores) -> None:
    stages = scores.randomization
    places = range(len(stages))
    means = [stage.similarity for stage in stages]
    axes.vlines(
        places,
        *zip(*[stage.similarity_interval for stage in stages], strict=True),
        color=_style.COLORS[1],
        linewidth=3,
        alpha=0.6,
    )
    axes.plot(places, means, "o-", color=_style.COLORS[1])
    axes.axhline(MOST_SIMILAR, color=_style.FAINT, linestyle="--", linewidth=1)
    names = [f"{stage.layers} of {stage.of}" for stage in stages]
    axes.set_xticks(places, names)
    axes.set(ylim=(-0.6, 1.05), xlabel="layers with random weights, from the last")
    axes.set_ylabel("rank correlation")
    last = stages[-1]
    passed = last.similarity_interval[1] < MOST_SIMILAR
    axes.set_title(f"They {'depend' if passed else 'hardly depend'} on the weights")


def draw_regions(maps: "numpy.ndarray", scores: MethodScores) -> "Figure":
    """Draw the mean map of each class.

    Args:
        maps: float32 (classes, height, width), in the order of `scores.regions`.
    """
    columns = min(len(maps), 5)
    rows = -(-len(maps) // columns)
    tall = maps.shape[1] / maps.shape[2]
    step = tall + 0.32  # with the caption above
    figure = _style.make_figure(max(columns * 1.6, 5.5), rows * step * 1.5 + 0.7)
    axes = figure.subplots()  # one for all, since laying out twenty takes seconds
    for i, (heat, region) in enumerate(zip(maps, scores.regions, strict=True)):
        left, top = (i % columns) * 1.08, (i // columns) * step
        axes.imshow(
            heat / (heat.max() or 1),
            extent=(left, left + 1, top + tall, top),
            cmap="Oranges",
            vmin=0,
            vmax=1,
            interpolation="nearest",
        )
        name = f"{_style.shorten(region.name, 16)}: {region.images}"
        caption = f"{name}\n{region.center:.0%} in the middle"
        axes.text(left, top - 0.03, caption, va="bottom", fontsize=7)
    axes.set(xlim=(-0.01, columns * 1.08), ylim=(rows * step - 0.3, -0.32), aspect="equal")
    axes.set(xticks=[], yticks=[])
    axes.set_axis_off()
    total = sum(region.images for region in scores.regions)
    center = sum(region.images * region.center for region in scores.regions) / total
    title = (
        f"{get_title(scores.method)}: {center:.0%} of the mass lies in the middle quarter of the"
        " image (25% if spread evenly)"
    )
    _write_title(axes, title, 60 if columns < 4 else 84)
    return figure


def _write_title(axes: "Axes", text: str, columns: int) -> None:
    axes.set_title("\n".join(textwrap.wrap(text, columns)))


def _caption(image: ExplainedImage) -> str:
    lines = [f"{_style.shorten(image.predicted, 20)}  {image.probability:.2f}"]
    if image.label is not None and image.label != image.predicted:
        lines.append(f"true: {_style.shorten(image.label, 18)}")
    return "\n".join(lines)


def _to_rgb(pixels: "numpy.ndarray") -> "numpy.ndarray":
    """Return an image as RGB, 0..1; of channels that are not RGB, the first one in gray."""
    import numpy

    shown = pixels if pixels.shape[2] == 3 else numpy.repeat(pixels[..., :1], 3, axis=2)
    return shown.astype(float) / 255


def _overlay(picture: "numpy.ndarray", heat: "numpy.ndarray") -> "numpy.ndarray":
    """Return a map in color over a faint picture, 0..1."""
    import matplotlib
    import numpy

    largest = numpy.quantile(numpy.abs(heat), 0.995) or numpy.abs(heat).max() or 1
    values = numpy.clip(heat / largest, -1, 1)
    color = matplotlib.colormaps[COLOR_MAP](0.5 + 0.5 * values)[..., :3]
    gray = 0.7 + 0.25 * picture.mean(axis=2, keepdims=True)
    share = numpy.minimum(1.25 * numpy.abs(values), 0.9)[..., None]
    return (1 - share) * gray + share * color
