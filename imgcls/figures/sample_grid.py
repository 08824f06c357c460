"""Samples: training images of each class, at the size of the model's input. Light zone."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.figures import Subject, _mosaic
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOW_TO_READ = (
    "Check that the images of a row belong to one class, and that the size keeps what tells "
    "classes apart."
)


class Settings(PartSettings):
    """The settings of the sample grid."""

    rows: Annotated[int, Field(ge=1)] = 20
    """Classes shown, at most: the first ones in label order."""
    columns: Annotated[int, Field(ge=1)] = 10
    """Images of each class, spread evenly over its training images: neighbors in a folder are
    often similar.
    """


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw a row of images per class; cells of classes with fewer images stay empty."""
    import numpy

    store, train = subject.store, subject.split.train
    labels = numpy.asarray(store.labels)[train]
    rows = []
    for label in range(min(settings.rows, len(store.classes))):
        members = train[labels == label]
        picked = (
            numpy.linspace(0, len(members) - 1, min(settings.columns, len(members)))
            .round()
            .astype(int)
        )
        rows.append(subject.images.read(members[picked]))
    names = store.classes[: len(rows)]
    count = (
        f"first {len(rows)} of {len(store.classes)} classes"
        if len(rows) < len(store.classes)
        else f"{len(rows)} classes"
    )
    return _mosaic.draw(rows, names, columns=settings.columns, title=f"Training images, {count}")
