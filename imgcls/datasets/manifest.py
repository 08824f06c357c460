"""A list of images as CSV (.csv, .tsv) or JSON lines (.jsonl).

Each image has a path and a label, and optionally a split, weight and group. Paths are absolute, or
relative to the list's folder. imgcls/image/decode.py turns files into pixels.

Light zone.
"""

import hashlib
from pathlib import Path

from imgcls.datasets import Entry, ImageSettings, Source, _class_names, _image_files, _manifest
from imgcls.datasets._manifest import Mistakes
from imgcls.errors import DataError
from imgcls.image import decode


class Settings(ImageSettings):
    """The settings of a list of images."""

    path: str
    """The list. Its columns, or keys, are path; label; split: train, validation or test; group:
    images of one group stay in one split; and weight: how often sampling by weight draws an image.
    The classes are the labels, sorted by their bytes."""


def prepare(settings: Settings) -> Source:
    """Read the list.

    Raises:
        DataError: the list cannot be read, or has mistakes; a missing image is one, unless bad
            images are skipped.
    """
    path = Path(settings.path).expanduser()
    mistakes = Mistakes(path)
    rows = _manifest.read(path, mistakes)
    if settings.on_bad_image == "fail":
        _manifest.note_missing(rows, mistakes)
    mistakes.raise_if_any()
    rows.sort(key=lambda row: row.path.encode("utf-8", "surrogateescape"))
    _class_names.note_spellings({row.label for row in rows})
    names = [_class_names.normalize(row.label) for row in rows]
    classes = sorted(set(names), key=str.encode)
    if len(classes) < 2:
        raise DataError(
            f"{path} lists {len(rows)} images of {len(classes)} class; a classifier needs at least"
            " two classes"
        )
    labels = {name: label for label, name in enumerate(classes)}
    entries = [
        Entry(row.path, labels[name], row.split, row.group, row.weight)
        for row, name in zip(rows, names, strict=True)
    ]
    paths = [path.parent / row.path for row in rows]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(
        classes,
        entries,
        lambda index: decode.read_file(paths[index]),
        f"{digest} {_image_files.compute_version(paths)}",
    )
