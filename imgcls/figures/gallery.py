"""Gallery: the most confident mistakes, and mistakes drawn at random, each with its two classes.
Light zone.

Above each image stands its true class, below it the predicted one with its probability. Without a
mistake, the images whose true class has the lowest probability are shown.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.figures import NotDrawableError, Subject, _mosaic, _style
from imgcls.metrics.accuracy import is_correct
from imgcls.metrics.calibration import compute_confidence
from imgcls.metrics.log_loss import get_true_probability
from imgcls.parts import PartSettings
from imgcls.seeds import derive_seed

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 8
CELL = 0.98
"""The width of a cell in inches."""
TEXT = 0.34
"""The height of the texts of a cell, in inches."""
LETTERS = 16
"""Letters of a class name that fit a cell."""

HOW_TO_READ = (
    "Look for wrong labels, for images that no one could tell, and for what the mistakes have "
    "in common."
)


class Settings(PartSettings):
    """The settings of the gallery."""

    count: Annotated[int, Field(ge=1)] = 24
    """Images of each kind, at most."""


@dataclass(frozen=True)
class GallerySection:
    """Some images of the gallery, below their title; positions in the split, int64 (n,)."""

    title: str
    positions: "numpy.ndarray"


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw a grid of images for the most confident mistakes, and one for random mistakes.

    Raises:
        NotDrawableError: the predictions are of other images than those of the store.
        DataError: the store is missing or changed.
    """
    sections = choose_sections(subject, settings.count)
    images = [read_images(subject, each.positions) for each in sections]
    height, width = images[0].shape[1:3]
    cell_height = CELL * height / width + TEXT
    rows = [-(-len(each) // COLUMNS) for each in images]
    heights = [count * cell_height + 0.25 for count in rows]
    figure = _style.make_figure(COLUMNS * CELL + 0.1, sum(heights) + 0.45)
    panels = figure.subplots(len(sections), squeeze=False, height_ratios=heights)[:, 0]
    for axes, section, pictures in zip(panels, sections, images, strict=True):
        _draw_section(axes, subject, section, pictures)
    figure.suptitle(_describe(subject), fontsize=10, fontweight="bold", x=0.01, ha="left")
    return figure


def choose_sections(subject: Subject, count: int) -> list[GallerySection]:
    """Return the images that are shown."""
    import numpy

    predictions = subject.predictions
    wrong = numpy.flatnonzero(~predictions.per_image(is_correct))
    confidence = predictions.per_image(compute_confidence)
    if not wrong.size:
        order = numpy.argsort(predictions.per_image(get_true_probability), kind="stable")
        return [GallerySection("The true class has the lowest probability", order[:count])]
    ranked = wrong[numpy.argsort(-confidence[wrong], kind="stable")]
    sections = [GallerySection("The most confident mistakes", ranked[:count])]
    rest = numpy.sort(ranked[count:])
    if rest.size:
        seed = derive_seed(subject.experiment.seed, "sample")
        generator = numpy.random.Generator(numpy.random.Philox(seed))
        drawn = generator.choice(rest, min(count, len(rest)), replace=False)
        sections.append(GallerySection("Other mistakes, at random", numpy.sort(drawn)))
    return sections


def read_images(subject: Subject, positions: "numpy.ndarray") -> "numpy.ndarray":
    """Return images of the evaluated split, uint8 (n, height, width, channels).

    Args:
        positions: in the predictions, int64 (n,).

    Raises:
        NotDrawableError: the predictions are of other images.
        DataError: the store is missing or changed.
    """
    import numpy

    indices = subject.split.get_indices(subject.evaluated_split)
    named = dict(zip(subject.store.get_ids(indices), indices.tolist(), strict=True))
    wanted = [subject.predictions.ids[i] for i in positions.tolist()]
    if missing := [name for name in wanted if name not in named]:
        raise NotDrawableError(
            f"the predictions are of other images than those of the store, such as {missing[0]!r}"
        )
    return subject.images.read(numpy.array([named[name] for name in wanted], numpy.int64))


def _draw_section(
    axes: "Axes", subject: Subject, section: GallerySection, pictures: "numpy.ndarray"
) -> None:
    """Draw images in rows; x counts cells, and y counts the inches of a cell."""
    height, width = pictures.shape[1:3]
    tall = CELL * height / width + TEXT
    rows = -(-len(pictures) // COLUMNS)
    predictions = subject.predictions
    for i, (position, picture) in enumerate(zip(section.positions, pictures, strict=True)):
        row, column = divmod(i, COLUMNS)
        top, left = row * tall + TEXT / 2, column * CELL
        shown = _mosaic.to_rgb(picture)
        box = (left + 0.03, left + CELL - 0.03, top + tall - TEXT, top)
        axes.imshow(shown, extent=box, interpolation="nearest", aspect="equal")
        true, predicted = predictions.labels[position], predictions.predicted[position]
        confidence = predictions.probabilities[position, predicted]
        middle = left + CELL / 2
        names = [_style.shorten(predictions.classes[each], LETTERS) for each in (true, predicted)]
        axes.text(middle, top - 0.02, names[0], ha="center", va="bottom", fontsize=6)
        below = f"{_style.shorten(names[1], LETTERS - 5)} {confidence:.2f}"
        color = _style.COLORS[4] if true != predicted else _style.INK
        axes.text(
            middle, top + tall - TEXT + 0.02, below, ha="center", va="top", fontsize=6, color=color
        )
    axes.set_xlim(0, COLUMNS * CELL)
    axes.set_ylim(rows * tall, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_anchor("NW")
    axes.set_title(section.title, fontsize=9)


def _describe(subject: Subject) -> str:
    predictions = subject.predictions
    correct = predictions.per_image(is_correct)
    wrong, confidence = int((~correct).sum()), predictions.per_image(compute_confidence)
    if not wrong:
        return f"No mistake ({subject.evaluated_title})"
    sure = int((confidence[~correct] >= 0.9).sum())
    return (
        f"{wrong:,} of {len(correct):,} images are misclassified, {sure:,} of them with a"
        f" probability of at least 0.9\n({subject.evaluated_title};"
        " above each image its true class, below it the predicted one)"
    )
