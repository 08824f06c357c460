"""The images on which two candidates disagree most. Light zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgcls.comparison.candidate import PredictedCandidate
from imgcls.comparison.class_changes import compute_fraction_correct
from imgcls.datasets import SplitName
from imgcls.figures import _mosaic, _style
from imgcls.metrics.log_loss import get_true_probability
from imgcls.store import lookup

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from imgcls.evaluation.predictions import Quantity

COLUMNS = 5
ROWS = 2
"""Rows of images that became right, and as many of those that became wrong."""
LENGTH = 14
"""The largest number of characters of a class name."""


@dataclass(frozen=True)
class Disagreement:
    """An image of which only one candidate is right, or is right more often.

    Attributes:
        index: of the image among the predictions.
        caption: the true class, and what each candidate predicts with which probability.
    """

    index: int
    caption: str


def find_disagreements(
    old: PredictedCandidate, new: PredictedCandidate
) -> tuple[list[Disagreement], list[Disagreement]]:
    """Return the images that became right, and those that became wrong: first those whose fraction
    of replicates that are right changed most, then those whose true class changed most in
    probability.
    """
    import numpy

    change = compute_fraction_correct(new) - compute_fraction_correct(old)
    shift = _average(new, get_true_probability) - _average(old, get_true_probability)
    found = []
    for sign in (1, -1):
        order = numpy.lexsort((-sign * shift, -sign * change))[: ROWS * COLUMNS].tolist()
        chosen = [index for index in order if sign * change[index] > 0]
        found.append([Disagreement(index, _describe(index, old, new)) for index in chosen])
    return found[0], found[1]


def _average(predicted: PredictedCandidate, quantity: "Quantity") -> "numpy.ndarray":
    """Return the mean of a quantity of each image over the replicates, (images,)."""
    import numpy

    return numpy.mean([each.per_image(quantity) for each in predicted.replicates], axis=0)


def _describe(index: int, old: PredictedCandidate, new: PredictedCandidate) -> str:
    """Return the caption of an image."""
    import numpy

    classes, label = old.replicates[0].classes, int(old.replicates[0].labels[index])
    lines = [f"true: {_style.shorten(classes[label], LENGTH)}"]
    for name, predicted in (("old", old), ("new", new)):
        rows = [each.probabilities[index] for each in predicted.replicates]
        probabilities = numpy.mean(rows, axis=0)
        best = int(probabilities.argmax())
        lines.append(f"{name}: {_style.shorten(classes[best], LENGTH)} {probabilities[best]:.2f}")
    return "\n".join(lines)


def read_images(
    predicted: PredictedCandidate, split: SplitName, indices: Sequence[int]
) -> "numpy.ndarray":
    """Read images at the input size of a candidate's model.

    Args:
        indices: of the images among the predictions of all folds, or of any other run.

    Returns:
        uint8 (images, height, width, channels).

    Raises:
        DataError: the store is missing, or was changed or damaged.
    """
    import numpy

    candidate = predicted.candidate
    runs = candidate.runs if candidate.by == "fold" else candidate.runs[:1]
    opened = [lookup.open_run_store(run.data, candidate.experiment.data.store_dir) for run in runs]
    in_store = numpy.concatenate([assigned.get_indices(split) for _, assigned in opened])
    store, assigned = opened[0]
    return store.open_reader(assigned.geometry).read(in_store[list(indices)])


def draw_gallery(
    became_right: Sequence[Disagreement],
    became_wrong: Sequence[Disagreement],
    images: "numpy.ndarray",
) -> "Figure":
    """Draw the images that became right, then those that became wrong, with their captions.

    Args:
        images: in this order, uint8 (images, height, width, channels).
    """
    groups = [
        ("Images that became right", became_right, images[: len(became_right)]),
        ("Images that became wrong", became_wrong, images[len(became_right) :]),
    ]
    groups = [group for group in groups if group[1]]
    rows = [-(-len(found) // COLUMNS) for _, found, _ in groups]
    height, width = images.shape[1:3]
    cell = 1.25 * height / width + 0.6
    figure = _style.make_figure(_style.WIDTH, sum(rows) * cell + 0.4 * len(groups))
    parts = figure.subfigures(len(groups), squeeze=False, height_ratios=rows)
    for part, (title, found, shown), count in zip(parts[:, 0], groups, rows, strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        cells = part.subplots(count, COLUMNS, squeeze=False).ravel()
        for axes in cells:
            axes.axis("off")
        for axes, each, image in zip(cells, found, shown, strict=False):
            _draw_image(axes, image, each.caption)
    return figure


def _draw_image(axes: "Axes", image: "numpy.ndarray", caption: str) -> None:
    axes.imshow(_mosaic.make_mosaic([image[None]], 1))
    axes.text(0.5, -0.03, caption, transform=axes.transAxes, ha="center", va="top", fontsize=6.5)
