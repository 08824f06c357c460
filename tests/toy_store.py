"""A source of seven tiny images with odd ids, and its store."""

import numpy
from experiments import source_of

from imgcls.datasets import BadImage, DataSettings, Entry
from imgcls.image.decode import Geometry
from imgcls.store import writer
from imgcls.store.split_file import Split

IMAGES = (numpy.arange(7 * 4 * 3 * 2) * 7 % 256).astype(numpy.uint8).reshape(7, 4, 3, 2)
IDS = ["a/0.png", "a/ü.png", "a/\udcff.png", "b/3.png", "b/4.png", "b/longer name.png", "b/6"]


def source(
    images=IMAGES,
    classes=("a", "b"),
    labels=(0, 0, 0, 1, 1, 1, 1),
    ids=IDS,
    splits=("train",) * 6 + ("test",),
):
    """Return a source of `IMAGES`, or of others; one bad image is left out."""
    entries = [Entry(*fields) for fields in zip(ids, labels, splits, strict=True)]
    version = repr((images.tobytes(), images.shape, classes, labels, ids, splits))
    return source_of(
        images,
        entries,
        list(classes),
        bad=[BadImage(id="a/bad.png", problem="empty")],
        version=version,
    )


def save(parent, content=None):
    """Return the store of a source below a folder, and whether it was there before."""
    return writer.find_or_write(
        content or source(), DataSettings(name="toy", store_dir=str(parent))
    )


def split(key="k" * 16):
    """Return a split of the images; the last image is in none."""
    parts, (mean, std) = ([0, 3], [1, 4], [2, 5]), numpy.float32([[1, 2], [3, 4]])
    sides, folds = numpy.uint8([0, 1, 2, 0, 1, 2, 3]), numpy.int32([2, 0, 1, 2, 0, 1, 0])
    return Split(
        key, *map(numpy.array, parts), mean, std, Geometry((4, 3, 2), "stretch"), sides, folds
    )


def names(folder):
    """Return the names of a folder's files and folders."""
    return sorted(path.name for path in folder.iterdir())
