"""Tables as plain text, the same on a terminal, in a pipe and in a run's files. Light zone.

There are no colors and no lines between cells, so that grep and awk work. Widths are in terminal
cells, as rich measures them: CJK characters and most emoji take two. rich's own `Table` would take
a second for the report of 1,000 classes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from imgcls.io.terminal import list_rest, to_printable

WIDTH = 80
"""Cells of a line, at most."""
LEAST = 20
"""The cells to which a column of text is shortened at most, before a table is divided."""
GAP = "  "


@dataclass(frozen=True)
class _Column:
    """The lines of a column's header, and its cells below."""

    head: list[str]
    body: list[str]
    is_text: bool

    @cached_property
    def width(self) -> int:
        """The terminal cells that it takes without shortening."""
        return _measure([*self.head, *self.body])

    @property
    def least(self) -> int:
        """The terminal cells that it takes at least."""
        return min(self.width, LEAST) if self.is_text else self.width


def format_table(rows: Sequence[Mapping[str, Any]], limit: int | None = None) -> str:
    """Format rows of the same keys as a table; without rows, as an empty string.

    Text is aligned to the left, numbers to the right. If lines would be too long, the header is
    wrapped; if that is not enough, long text is shortened in its middle; and if that is not enough,
    the columns are divided among several tables, each of which repeats the first column.

    Args:
        limit: the number of rows to show; the last line says how many more there are.
    """
    if not rows:
        return ""
    columns = [_make_column(name, [row[name] for row in rows[:limit]]) for name in rows[0]]
    if _add([column.width for column in columns]) > WIDTH:
        columns = list(map(_wrap_head, columns))
    tables = _divide(columns)
    widths = list(map(_fit, tables))
    first = min(width[0] for width in widths)  # a name is shortened in one way
    texts = [
        _lay_out(table, [first, *others])
        for table, (_, *others) in zip(tables, widths, strict=True)
    ]
    rest = [] if limit is None else list_rest(len(rows), limit)
    return "\n".join(["\n\n".join(texts), *rest])


def format_pairs(values: Mapping[str, Any]) -> str:
    """Format names and values in two columns; a long value continues on further lines."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, len(GAP), 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(Text(name), Text(format_cell(value)))
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def format_cell(value: Any) -> str:
    """Format a value on one line: None, for undefined or not measured, as "-"; floats with four
    decimals, but large ones without decimals, and small ones in scientific notation.
    """
    if value is None or value == []:
        return "-"
    if isinstance(value, tuple):
        return f"[{', '.join(map(format_cell, value))}]"
    if isinstance(value, list):
        return ", ".join(map(format_cell, value))
    if isinstance(value, float):
        return _format_number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return to_printable(str(value))


def _format_number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.2e}"


def is_text(values: Sequence[Any]) -> bool:
    """Return whether a column is aligned to the left, because there is text in it."""
    return any(isinstance(value, str) for value in values)


def _make_column(name: str, values: list[Any]) -> _Column:
    return _Column([to_printable(name)], list(map(format_cell, values)), is_text(values))


def _wrap_head(column: _Column) -> _Column:
    """Wrap a header that is wider than the cells below it, after underscores."""
    lines, width = [""], _measure(column.body)
    for word in re.split("(?<=_)", column.head[0]):
        if lines[-1] and _measure([lines[-1] + word]) > width:
            lines.append(word)
        else:
            lines[-1] += word
    return replace(column, head=lines)


def _divide(columns: list[_Column]) -> list[list[_Column]]:
    """Return the columns of each table: as few tables as possible, of nearly the same width."""
    wanted = len(_fill(columns, WIDTH))
    widths = range(WIDTH + 1)
    return next(tables for width in widths if len(tables := _fill(columns, width)) == wanted)


def _fill(columns: list[_Column], width: int) -> list[list[_Column]]:
    """Return tables that each hold the first column, and as many others as fit."""
    first, *others = columns
    tables = [[first]]
    for column in others:
        wide = _add([each.least for each in [*tables[-1], column]]) > width
        if wide and len(tables[-1]) > 1:
            tables.append([first])
        tables[-1].append(column)
    return tables


def _lay_out(columns: list[_Column], widths: list[int]) -> str:
    height = max(len(column.head) for column in columns)
    aligned = [
        _align([*[""] * (height - len(column.head)), *column.head, *column.body], width, column)
        for column, width in zip(columns, widths, strict=True)
    ]
    return "\n".join(GAP.join(line).rstrip() for line in zip(*aligned, strict=True))


def _fit(columns: list[_Column]) -> list[int]:
    """Return the widths of columns: the widest text gives way until a line is short enough."""
    widths = [column.width for column in columns]
    texts = [i for i, column in enumerate(columns) if column.is_text]
    while texts and _add(widths) > WIDTH:
        widths[max(texts, key=widths.__getitem__)] -= 1
    return widths


def _align(cells: list[str], width: int, column: _Column) -> list[str]:
    shown = [_shorten(cell, width) for cell in cells]
    gaps = [" " * (width - _measure([cell])) for cell in shown]
    pairs = zip(shown, gaps, strict=True)
    return [cell + gap if column.is_text else gap + cell for cell, gap in pairs]


def _add(widths: list[int]) -> int:
    """Return the length of a line of columns."""
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _measure(texts: list[str]) -> int:
    """Return the terminal cells that the widest of some texts takes."""
    from rich.cells import cell_len

    return max(map(cell_len, texts))


def _shorten(text: str, width: int) -> str:
    """Shorten text to a width in its middle, since names differ at their ends."""
    if _measure([text]) <= width:
        return text
    heads = (text[:end] for end in range(len(text), -1, -1))
    head = next(head for head in heads if _measure([head]) <= width // 2)
    # No tail begins with an accent, which would land on the ellipsis.
    tails = (text[start:] for start, letter in enumerate(text) if _measure([letter]))
    shown = (f"{head}…{tail}" for tail in tails)
    return next(each for each in shown if _measure([each]) <= width)
