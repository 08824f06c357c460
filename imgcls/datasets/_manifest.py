"""Reading lists of images and their classes as CSV, TSV or JSON lines, with all their mistakes.

Light zone.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imgcls.datasets import MAX_WEIGHT, SPLITS, SplitName, _class_names
from imgcls.datasets._listed_files import FileFinder
from imgcls.errors import DataError
from imgcls.io import csv_text, terminal
from imgcls.parts import suggest

REQUIRED = ("path", "label")
COLUMNS = (*REQUIRED, "split", "weight", "group")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class Row:
    """An image: its line in the manifest, its normalized path, its class name, optional columns."""

    line: int
    path: str
    label: str
    split: SplitName = "train"
    weight: float = 1.0
    group: str | None = None


@dataclass
class Mistakes:
    """What is wrong with a manifest, by line."""

    manifest: Path
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, problem: str) -> None:
        """Note a mistake."""
        self.found.append((line, problem))

    def raise_if_any(self) -> None:
        """Raise a `DataError` that lists the first mistakes and counts all, if there are any."""
        if self.found:
            count = len(self.found)
            lines = [f"{self.manifest}:{line}: {problem}" for line, problem in sorted(self.found)]
            raise DataError(
                f"{count:,} mistake{'s' if count > 1 else ''} in the manifest; correct"
                f" {'them' if count > 1 else 'it'}:\n{terminal.format_lines(lines)}"
            )


def read(manifest: Path, mistakes: Mistakes) -> list[Row]:
    """Return the valid rows of a manifest, and note what is wrong with the others.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or has another extension.
    """
    try:
        data = manifest.read_bytes()
    except OSError as error:
        raise DataError(
            f"data.path: cannot read {manifest}: {error.strerror}; give the path of a manifest"
        ) from None
    text = csv_text.decode(data, mistakes.add)
    mistakes.raise_if_any()
    if manifest.suffix.lower() in _DELIMITERS:
        fields = _iterate_csv_rows(text, _DELIMITERS[manifest.suffix.lower()], mistakes)
    elif manifest.suffix.lower() == ".jsonl":
        fields = _iterate_json_rows(text, mistakes)
    else:
        raise DataError(
            f"data.path: {manifest} does not end in .csv, .tsv or .jsonl, which says how to read"
            " it; rename it"
        )
    rows = [row for line, values in fields if (row := _parse_row(line, values, mistakes))]
    rows = find_files(rows, manifest.parent)
    _note_duplicates(rows, mistakes)
    return rows


def find_files(rows: Iterable[Row], folder: Path) -> list[Row]:
    """Return rows whose paths are spelt as on the disk, in Unicode form and slashes."""
    finder = FileFinder(folder)
    return [replace(row, path=finder.find(row.path) or row.path) for row in rows]


def note_missing(rows: Iterable[Row], mistakes: Mistakes) -> None:
    """Note the rows whose file does not exist, with the name of a file that may be meant."""
    folder = mistakes.manifest.parent
    finder = FileFinder(folder)
    for row in rows:
        if not os.path.isfile(folder / row.path):
            mistakes.add(
                row.line, f"there is no file {row.path!r} in {folder}{finder.suggest(row.path)}"
            )


def _iterate_csv_rows(
    text: str, delimiter: str, mistakes: Mistakes
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line and the non-empty fields of each record."""
    header: list[str] | None = None
    for line, record, found in csv_text.iterate_records(text, delimiter, REQUIRED, mistakes.add):
        if header is None:
            header = record
            _check_header(header, mistakes)
        elif len(record) == len(header):
            yield (
                line,
                {
                    name: csv_text.parse_number(value, found) if name == "weight" else value
                    for name, value in zip(header, record, strict=True)
                    if value
                },
            )
        else:
            mistakes.add(line, f"has {len(record)} fields, but the header has {len(header)}")
    if header is None:
        mistakes.add(
            1,
            f"has no header; the first line must name the columns, of {', '.join(COLUMNS)}; path"
            " and label are required",
        )


def _check_header(header: list[str], mistakes: Mistakes) -> None:
    for name in header:
        if name not in COLUMNS:
            mistakes.add(
                1,
                f"unknown column {name!r}; allowed:"
                f" {', '.join(COLUMNS)}{suggest(name, list(COLUMNS))}",
            )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        mistakes.add(1, f"the header names {', '.join(twice)} more than once")
    if missing := [name for name in REQUIRED if name not in header]:
        mistakes.add(1, f"the header lacks {' and '.join(missing)}")
    mistakes.raise_if_any()


def _iterate_json_rows(text: str, mistakes: Mistakes) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            mistakes.add(number, f"is not JSON: {error}")
            continue
        if not isinstance(value, dict):
            mistakes.add(
                number,
                'must be a JSON object such as {"path": "cat.png", "label": "cat"}; got'
                f" {line[:40]!r}",
            )
            continue
        for name in value.keys() - set(COLUMNS):
            mistakes.add(
                number,
                f"unknown key {name!r}; allowed:"
                f" {', '.join(COLUMNS)}{suggest(name, list(COLUMNS))}",
            )
        yield (
            number,
            {name: field for name, field in value.items() if name in COLUMNS and field is not None},
        )


def _parse_row(line: int, fields: dict[str, Any], mistakes: Mistakes) -> Row | None:
    """Return a row, or None after noting every mistake in it."""
    problems = [f"{name} is missing or empty" for name in REQUIRED if fields.get(name, "") == ""]
    for name, value in fields.items():
        if problem := (
            _find_weight_problem(value) if name == "weight" else _find_text_problem(name, value)
        ):
            problems.append(problem)
    for problem in problems:
        mistakes.add(line, problem)
    if problems:
        return None
    return Row(
        line,
        **fields
        | {
            "path": os.path.normpath(fields["path"]),
            "weight": float(fields.get("weight", 1.0)),
        },
    )


def _find_weight_problem(value: Any) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 <= value <= MAX_WEIGHT:
        return None
    return f"weight must be a finite number of at least 0; got {value!r}"


def _find_text_problem(name: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return f"{name} must be text; got {value!r}"
    if name == "split" and value not in SPLITS:
        return (
            f"unknown split {value!r}; allowed: {', '.join(SPLITS)}{suggest(value, list(SPLITS))}"
        )
    if name == "label" and not _class_names.is_text(value):
        return f"label must be printable text; got {value!r}"
    try:
        if b"\0" not in os.fsencode(value):
            return None
    except UnicodeEncodeError:
        return f"{name} holds half of a surrogate pair: {value!r}"
    return f"{name} holds a zero byte: {value!r}"


def _note_duplicates(rows: list[Row], mistakes: Mistakes) -> None:
    first: dict[str, int] = {}
    for row in rows:
        path = os.path.join(os.path.abspath(mistakes.manifest.parent), row.path)
        line = first.setdefault(os.path.normpath(path), row.line)
        if line != row.line:
            mistakes.add(row.line, f"names the file of line {line} again: {row.path!r}")
