"""Embedding map: images by the features that enter the last layer, in two dimensions. Light zone.

PCA keeps large distances, t-SNE neighborhoods (van der Maaten and Hinton, 2008). Drawn from
embedding.npz, which `eval` writes with `evaluate.embedding`; on the page, a picture shows below the
pointer.
"""

import os
from typing import TYPE_CHECKING

from imgcls.evaluation.embedding import EmbeddingArrays, read_embedding
from imgcls.figures import NotDrawableError, Subject, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_COLORS = len(_style.COLORS)
"""The largest number of classes that have colors of their own."""
MARKERS = "osD^vP*Xhd"
"""Classes differ in markers as well as in colors."""

HOW_TO_READ = (
    "Groups of one color are classes that the model tells apart; rings are mistakes, which mostly"
    " lie where groups touch. Distances between groups of t-SNE mean nothing."
)


class Settings(PartSettings):
    """The embedding map has no settings; `evaluate.embedding` is the number of its images."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the images by PCA and by t-SNE.

    Raises:
        NotDrawableError: `eval` has not written the map, or an earlier model's.
    """
    found = find_embedding(subject)
    figure = _style.make_figure(_style.WIDTH, 5.0)
    panels = figure.subplots(1, 2)
    for axes, name, positions in zip(
        panels, ("PCA", "t-SNE"), (found.pca, found.tsne), strict=True
    ):
        _draw_positions(axes, found, positions, subject.classes)
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.suptitle(_describe(found), fontsize=10, fontweight="bold", x=0.01, ha="left")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4)
    return figure


def find_embedding(subject: Subject) -> EmbeddingArrays:
    """Return the map of the evaluated split; raises as `draw`."""
    folder, split = subject.folder, subject.evaluated_split
    command = f"imgcls eval {folder.folder} --set evaluate.embedding=500"
    if not os.path.lexists(folder.embedding_file(split)):
        raise NotDrawableError(f"{folder.folder} has no map of features; run `{command}` first")
    found = read_embedding(folder, split)
    subject.require_current_model(str(found.model), "the features", command)
    return found


def _draw_positions(
    axes: "Axes", found: EmbeddingArrays, positions: "numpy.ndarray", classes: list[str]
) -> None:
    import numpy

    present = numpy.unique(found.labels).tolist()
    if len(present) <= MAX_COLORS:
        for i, label in enumerate(present):
            inside = found.labels == label
            axes.scatter(
                positions[inside, 0],
                positions[inside, 1],
                s=12,
                marker=MARKERS[i],
                color=_style.COLORS[i],
                linewidths=0,
                label=_style.shorten(classes[label], 20),
            )
    else:
        x, y = positions.T
        axes.scatter(x, y, s=7, color=_style.FAINT, linewidths=0, label="an image")
    wrong = found.labels != found.predicted
    axes.scatter(
        positions[wrong, 0],
        positions[wrong, 1],
        s=42,
        facecolors="none",
        edgecolors=_style.INK,
        linewidths=0.9,
        label=f"predicted as another class ({int(wrong.sum()):,})",
    )


def _describe(found: EmbeddingArrays) -> str:
    images = len(found.ids)
    same = float((found.neighbors == found.labels).mean())
    return f"The nearest image by features is of the same class for {same:.1%} of {images:,} images"
