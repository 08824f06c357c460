"""A list of images, as CSV (.csv, .tsv) or JSON lines (.jsonl): path and label, and optionally
split, weight and group.

Paths are relative to the list's folder, or absolute. imgcls/image/decode.py says how a file becomes
pixels.

Light zone.
"""

import hashlib
from pathlib import Path

from imgcls.datasets import Entry, ImageSettings, Source, _image_files, _manifest
from imgcls.datasets._manifest import Mistakes
from imgcls.errors import DataError
from imgcls.image import decode


class Settings(ImageSettings):
    """What a list of images can be told."""

    path: str
    """The list. Its columns, or keys: path and label; split is train, validation or test; images of
    one group stay on one side of every split; weight is how often resampling by weight draws an
    image. Class names are the labels, in the order of their bytes."""


def prepare(settings: Settings) -> Source:
    """Read the list.

    Raises:
        DataError: the list cannot be read, or has mistakes, all of which are named; a missing file
            is one, unless bad images are skipped.
    """
    path = Path(settings.path).expanduser()
    mistakes = Mistakes(path)
    rows = _manifest.read(path, mistakes)
    if settings.on_bad_image == "fail":
        _manifest.note_missing(rows, mistakes)
    mistakes.refuse()
    rows.sort(key=lambda row: row.path.encode("utf-8", "surrogateescape"))
    classes = sorted({row.label for row in rows}, key=str.encode)
    if len(classes) < 2:
        raise DataError(
            f"{path} names {len(rows)} images of {len(classes)} class; a classifier needs at least"
            " two classes"
        )
    labels = {name: label for label, name in enumerate(classes)}
    entries = [Entry(row.path, labels[row.label], row.split, row.group, row.weight) for row in rows]
    paths = [path.parent / row.path for row in rows]
    listed = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(
        classes,
        entries,
        lambda place: decode.read_file(paths[place]),
        f"{listed} {_image_files.compute_version(paths)}",
    )
