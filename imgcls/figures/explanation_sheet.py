"""Explanations: pictures beside maps of the pixels that their predictions depend on. Light zone.

Of the methods that `explain` was run with, the one is shown that gains most over random maps.
Redrawn from its maps.npz, with the images of the store.
"""

from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.datasets import SplitName
from imgcls.explanation import drawings
from imgcls.explanation.record import ExplainedImage
from imgcls.figures import NotDrawableError, Subject, _explanations
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy
    from matplotlib.figure import Figure

    from imgcls.explanation.record import MapArrays

HOW_TO_READ = (
    "Orange pixels speak for the predicted class; the title says whether they do so more than "
    "random ones."
)


class Settings(PartSettings):
    """Explanation sheets have no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the first images with their maps.

    Raises:
        NotDrawableError: no split of the run was explained, or another model or store was.
        DataError: a file is damaged, or the store is missing or changed.
    """
    saved = _explanations.find(subject)
    scores = saved.read_best_scores()
    _explanations.require_current(subject, saved, scores)
    maps = saved.read_maps(scores.method)
    count = min(len(maps.ids), drawings.MOST_IMAGES)
    pictures = _read_images(subject, saved.split, maps.ids[:count].tolist())
    is_signed = parts.load("explainers", scores.method).Settings.is_signed
    return drawings.draw_sheet(pictures, maps.maps, _describe(maps), scores, is_signed)


def _read_images(subject: Subject, split: SplitName, ids: list[str]) -> "numpy.ndarray":
    import numpy

    indices = subject.split.get_indices(split)
    named = dict(zip(subject.store.get_ids(indices), indices.tolist(), strict=True))
    if missing := [name for name in ids if name not in named]:
        raise NotDrawableError(
            f"the maps are of other images than those of the store, such as {missing[0]!r}"
        )
    return subject.images.read(numpy.array([named[name] for name in ids], numpy.int64))


def _describe(maps: "MapArrays") -> list[ExplainedImage]:
    classes = maps.classes.tolist()
    labels = [None] * len(maps.ids) if maps.labels is None else maps.labels.tolist()
    rows = zip(maps.ids.tolist(), maps.explained, maps.probabilities.tolist(), labels, strict=True)
    return [
        ExplainedImage(
            id=id_,
            predicted=classes[number],
            probability=min(probability, 1.0),
            label=None if label is None else classes[label],
        )
        for id_, number, probability, label in rows
    ]
