"""Splits in a CSV file with the header `id,split`: reading what a user fixed, writing what was cut.
Light zone.

The ids are the store's own; a split is train, validation, test, or unused for an image that is to
be in none. Bytes of a file name that are not UTF-8 stand in the file as they are.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.datasets import SPLITS
from imgcls.errors import DataError, UserError
from imgcls.io import files
from imgcls.split.pool import UNASSIGNED
from imgcls.store.split_file import UNUSED, Split
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy

_HEADER = ["id", "split"]
_WORDS = (*SPLITS, "unused")
_SHOWN = 20


def hash_content(path: Path) -> str:
    """Return what stands for a file's content in the key of a split.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return files.compute_sha256(path)
    except OSError as error:
        raise DataError(
            f"cannot read data.splits_file: {path}: {error.strerror}; it fixes the splits and its"
            " content names them, so bring it back, or write it from a prepared store with `imgcls"
            " prepare --splits`"
        ) from None


def read_assignments(path: Path, store: Store) -> "numpy.ndarray":
    """Return the side of each image of a store, int64 (count,): a place in `SPLITS`, or `UNUSED`.

    Raises:
        DataError: the file cannot be read, or does not fit the store; all its mistakes are named,
            with their lines.
    """
    import numpy

    ids = store.ids(numpy.arange(store.count))
    places = {name: place for place, name in enumerate(ids)}
    skipped = {image.id for image in store.manifest.bad_images}
    sides, lines, problems = numpy.full(store.count, UNASSIGNED), dict[str, int](), list[str]()
    for line, row in _iterate_rows(path):
        problem = _find_problem(row, lines, places, skipped)
        if problem:
            problems.append(f"{path}:{line}: {problem}")
            continue
        lines[row[0]] = line
        if row[0] in places:
            sides[places[row[0]]] = _WORDS.index(row[1])
    if not (sides == SPLITS.index("test")).any():
        problems.append(f"{path} puts no image in test")
    unnamed = numpy.flatnonzero(sides == UNASSIGNED)
    if len(unnamed):
        problems.append(
            f"{path} does not name {len(unnamed):,} of {store.count:,} images, such as"
            f" {ids[unnamed[0]]}; unused leaves one out"
        )
    if problems:
        rest = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise DataError(
            "\n".join([*problems[:_SHOWN], *rest, f"correct {path}, or remove data.splits_file"])
        )
    return sides


def write_assignments(path: Path, store: Store, split: Split) -> None:
    """Write which image is used in which split, in a form that `data.splits_file` reads;
    atomically.

    Raises:
        UserError: the file cannot be written, or there is one of another content, which may be
            somebody's work.
    """
    import numpy

    sides = numpy.full(store.count, UNUSED)
    for side, name in enumerate(SPLITS):
        sides[split.indices(name)] = side
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(
        zip(
            store.ids(numpy.arange(store.count)),
            (_WORDS[side] for side in sides.tolist()),
            strict=True,
        )
    )
    content = text.getvalue().encode("utf-8", "surrogateescape")
    if path.exists() and (not path.is_file() or path.read_bytes() != content):
        raise UserError(
            f"--splits {path} is there already and holds something else; choose a new file, or"
            " delete this one first"
        )
    with files.replace_file(path) as stream:
        stream.write(content)


def _iterate_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows behind the header, each with the number of its first line."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            header = next(rows, [])
            if header != _HEADER:
                raise DataError(
                    f"{path}:1: the header must be {','.join(_HEADER)}; got"
                    f" {','.join(header) or 'nothing'}"
                )
            before = rows.line_num
            for row in rows:
                if row:
                    yield before + 1, row
                before = rows.line_num
    except OSError as error:
        raise DataError(f"cannot read data.splits_file: {path}: {error.strerror}") from None
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: not CSV ({error}); correct the quotes") from None


def _find_problem(
    row: list[str], lines: dict[str, int], places: dict[str, int], skipped: set[str]
) -> str | None:
    """Return what is wrong with a row; `lines` are those of the ids before it."""
    if len(row) != len(_HEADER):
        return f"needs an id and a split; got {len(row)} field{'s' if len(row) != 1 else ''}"
    name, split = row
    if name in lines:
        return f"{name} is named a second time, after line {lines[name]}"
    if name not in places and name not in skipped:
        return f"the data has no image {name}"
    if split not in _WORDS:
        return (
            f"unknown split '{split}'; allowed:"
            f" {', '.join(_WORDS)}{parts.suggest(split, list(_WORDS))}"
        )
    return None
