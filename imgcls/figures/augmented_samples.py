"""Augmented samples: training images beside several augmented versions of each. Light zone."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.figures import NotDrawableError, Subject, _mosaic, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOW_TO_READ = (
    "Left of the line is an image as it is stored, right of it what training saw; classes "
    "must still be recognizable."
)


class Settings(PartSettings):
    """The settings of augmented samples."""

    rows: Annotated[int, Field(ge=1)] = 8
    """Images shown, of classes spread evenly over all."""
    variants: Annotated[int, Field(ge=1)] = 9
    """Augmented versions of each image."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw a row per image: the original, and its augmentations in the first training steps."""
    import numpy

    if not subject.experiment.augment:
        raise NotDrawableError(
            "the experiment has no `augment:` list, so there are no augmented samples to draw"
        )
    from imgcls.input.augment import preview

    store, train = subject.store, subject.split.train
    labels = numpy.asarray(store.labels)[train]
    present = numpy.unique(labels)
    selected = present[
        numpy.linspace(0, len(present) - 1, min(settings.rows, len(present))).round().astype(int)
    ]
    originals = subject.images.read(numpy.array([train[labels == label][0] for label in selected]))
    columns = [
        originals,
        *[preview(subject.experiment, originals, step) for step in range(settings.variants)],
    ]
    rows = list(numpy.stack(columns, axis=1))
    figure = _mosaic.draw(
        rows,
        [store.classes[i] for i in selected],
        columns=len(columns),
        title="Original and augmented training images",
    )
    axes = figure.axes[0]
    axes.axvline(0.5, color=_style.INK, linewidth=1.5)
    axes.set_xticks([0, settings.variants / 2 + 0.5], ["original", "augmented"])
    axes.tick_params(axis="x", length=0)
    return figure
