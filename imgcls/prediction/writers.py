"""Writing rows of predictions as they come: as tables, CSV, JSON lines, or one JSON object. Light
zone.
"""

import csv
import io
import json
from collections.abc import Sequence
from typing import IO, Any, Protocol

from imgcls.prediction.rows import PredictionRow, RowMaker, flatten, list_columns, make_object
from imgcls.report.tables import format_table

TABLE_ROWS = 1000
"""Rows of a table, after which another one begins: its widths depend on all of its rows."""


class Writer(Protocol):
    """Writes rows, and a summary of all where the format has a place for one."""

    def write(self, rows: Sequence[PredictionRow]) -> None:
        """Write rows."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the rest of the file, after the last rows."""


class TableWriter:
    """Writes tables of at most 80 columns; an error stands in the place of the class."""

    def __init__(self, stream: IO[bytes], maker: RowMaker):
        self._stream = stream
        self._columns = list_columns(maker)
        self._rows: list[PredictionRow] = []
        self._written = 0

    def write(self, rows: Sequence[PredictionRow]) -> None:
        """Write the rows before the last, incomplete table."""
        self._rows += rows
        while len(self._rows) >= TABLE_ROWS:
            self._write_table(self._rows[:TABLE_ROWS])
            del self._rows[:TABLE_ROWS]

    def _write_table(self, rows: list[PredictionRow]) -> None:
        gap = "\n" if self._written else ""
        table = format_table(list(map(self._make_cells, rows)))
        self._stream.write(encode(f"{gap}{table}\n"))
        self._written += len(rows)

    def _make_cells(self, row: PredictionRow) -> dict[str, Any]:
        """Return the cells of a row; all classes after the first are in one cell."""
        name, probability = row.top[0] if row.top else (f"error: {row.error}", None)
        cells: dict[str, Any] = {"path": row.path, "class": name, "probability": probability}
        if "accepted" in self._columns:
            cells["accepted"] = None if row.accepted is None else format_bool(row.accepted)
        if "class_2" in self._columns:
            cells["next_classes"] = ", ".join(f"{each} {value:.4f}" for each, value in row.top[1:])
        if "prediction_set" in self._columns:
            cells["prediction_set"] = ", ".join(row.prediction_set or [])
        return cells

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the last table."""
        if self._rows:
            self._write_table(self._rows)


class CsvWriter:
    """Writes CSV with a header, as RFC 4180 but with Unix line ends; None is an empty field, and a
    list is JSON.
    """

    def __init__(self, stream: IO[bytes], maker: RowMaker):
        self._stream = stream
        self._columns = list_columns(maker)
        self._write_lines([list(self._columns)])

    def write(self, rows: Sequence[PredictionRow]) -> None:
        """Write rows."""
        self._write_lines([list(flatten(row, self._columns).values()) for row in rows])

    def _write_lines(self, lines: list[list[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(
            [_format_field(value) for value in line] for line in lines
        )
        self._stream.write(encode(text.getvalue()))

    def finish(self, summary: dict[str, Any]) -> None:
        """Do nothing: each row is written already."""


class JsonLinesWriter:
    """Writes a JSON object a line."""

    def __init__(self, stream: IO[bytes], maker: RowMaker):
        self._stream = stream
        self._classes = maker.classes

    def write(self, rows: Sequence[PredictionRow]) -> None:
        """Write rows."""
        lines = [f"{json.dumps(make_object(row, self._classes))}\n" for row in rows]
        self._stream.write(encode("".join(lines)))

    def finish(self, summary: dict[str, Any]) -> None:
        """Do nothing: each row is written already."""


class JsonWriter:
    """Writes one JSON object, with the rows in `predictions`."""

    def __init__(self, stream: IO[bytes], maker: RowMaker):
        self._stream = stream
        self._classes = maker.classes
        self._separator = '{\n"predictions": [\n'

    def write(self, rows: Sequence[PredictionRow]) -> None:
        """Write rows."""
        for row in rows:
            text = json.dumps(make_object(row, self._classes))
            self._stream.write(encode(f"{self._separator}{text}"))
            self._separator = ",\n"

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the end of the list, and the summary."""
        rest = json.dumps(summary)[1:]
        self._stream.write(encode(f"\n],\n{rest}\n"))


def encode(text: str) -> bytes:
    """Return text in UTF-8, in which a path has the bytes that it has on disk."""
    return text.encode("utf-8", "surrogateescape")


def _format_field(value: Any) -> Any:
    if isinstance(value, bool):
        return format_bool(value)
    return json.dumps(value) if isinstance(value, list) else value


def format_bool(value: bool) -> str:
    """Return a boolean as in JSON."""
    return "true" if value else "false"
