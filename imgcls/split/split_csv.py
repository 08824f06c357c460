"""Reading and writing split assignments as a CSV file with the header `id,split`. Light zone.

The ids are the store's own; a split is train, validation, test, or unused for an image in no split.
Bytes of a file name that are not UTF-8 are written as they are.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from imgcls import parts
from imgcls.datasets import SPLITS
from imgcls.errors import DataError, UserError
from imgcls.io import csv_text, files, terminal
from imgcls.split.pool import UNASSIGNED
from imgcls.store.split_file import UNUSED, Split
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy

_HEADER = ["id", "split"]
_WORDS = (*SPLITS, "unused")


def hash_content(path: Path) -> str:
    """Return the SHA-256 of a file of splits, which goes into the key of the split.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return files.compute_sha256(path)
    except OSError as error:
        raise DataError(
            f"cannot read data.splits_file: {path}: {error.strerror}; it decides the splits, so"
            " restore it, or write it again from a prepared store with `imgcls prepare --splits`"
        ) from None


def read_assignments(path: Path, store: Store) -> "numpy.ndarray":
    """Return the split of each image, int64 (count,): an index into `SPLITS`, or `UNUSED`.

    Raises:
        DataError: the file cannot be read, or does not fit the store; it lists the mistakes with
            their lines.
    """
    import numpy

    ids = store.get_ids(numpy.arange(store.count))
    indices = {name: index for index, name in enumerate(ids)}
    skipped = {image.id for image in store.manifest.bad_images}
    assignments = numpy.full(store.count, UNASSIGNED)
    lines, problems = dict[str, int](), list[str]()
    for line, row in _iterate_rows(path):
        problem = _find_problem(row, lines, indices, skipped)
        if problem:
            problems.append(f"{path}:{line}: {problem}")
            continue
        lines[row[0]] = line
        if row[0] in indices:
            assignments[indices[row[0]]] = _WORDS.index(row[1])
    if not (assignments == SPLITS.index("test")).any():
        problems.append(f"{path} assigns no image to test")
    missing = numpy.flatnonzero(assignments == UNASSIGNED)
    if len(missing):
        problems.append(
            f"{path} does not list {len(missing):,} of {store.count:,} images, such as"
            f" {ids[missing[0]]}; list images to leave out as unused"
        )
    if problems:
        raise DataError(
            f"data.splits_file does not fit the data:\n{terminal.format_lines(problems)}\n"
            f"correct {path}, or remove data.splits_file"
        )
    return assignments


def write_assignments(path: Path, store: Store, split: Split) -> None:
    """Write which image is used in which split, as `data.splits_file` reads it, atomically.

    Raises:
        UserError: the file cannot be written, or exists with other content, which may be somebody's
            work.
    """
    import numpy

    assignments = numpy.full(store.count, UNUSED)
    for index, name in enumerate(SPLITS):
        assignments[split.get_indices(name)] = index
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(
        zip(
            store.get_ids(numpy.arange(store.count)),
            (_WORDS[index] for index in assignments.tolist()),
            strict=True,
        )
    )
    content = text.getvalue().encode("utf-8", "surrogateescape")
    if path.exists() and (not path.is_file() or path.read_bytes() != content):
        raise UserError(
            f"--splits {path} exists and holds something else; choose another file, or delete this"
            " one first"
        )
    with files.replace_file(path) as stream:
        stream.write(content)


def _iterate_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows after the header, each with the number of its first line."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DataError(f"cannot read data.splits_file: {path}: {error.strerror}") from None

    def refuse(line: int, problem: str) -> NoReturn:
        raise DataError(f"{path}:{line}: {problem}; correct the quotes")

    header: list[str] = []
    for line, row, _ in csv_text.iterate_records(text, ",", _HEADER, refuse):
        if header:
            yield line, row
        elif row == _HEADER:
            header = row
        else:
            raise DataError(
                f"{path}:{line}: the header must be {','.join(_HEADER)}; got {','.join(row)}"
            )
    if not header:
        raise DataError(f"{path}:1: the header must be {','.join(_HEADER)}; got nothing")


def _find_problem(
    row: list[str], lines: dict[str, int], indices: dict[str, int], skipped: set[str]
) -> str | None:
    """Return what is wrong with a row; `lines` are those of the ids before it."""
    if len(row) != len(_HEADER):
        return f"needs an id and a split; got {len(row)} field{'s' if len(row) != 1 else ''}"
    name, split = row
    if name in lines:
        return f"{name} is listed again, after line {lines[name]}"
    if name not in indices and name not in skipped:
        return f"the data has no image {name}"
    if split not in _WORDS:
        return (
            f"unknown split '{split}'; allowed:"
            f" {', '.join(_WORDS)}{parts.suggest(split, list(_WORDS))}"
        )
    return None
