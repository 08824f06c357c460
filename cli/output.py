"""Printing results: stdout carries nothing else. Light zone."""

import json
from typing import Any


def print_json(value: Any) -> None:
    """Print one JSON value."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_pairs(values: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, values))
    for name, value in values.items():
        print(f"{name:<{width}}  {_text(value)}")


def print_result(values: dict[str, Any] | None, as_json: bool) -> None:
    """Print names and values, as JSON if the user asked for it; nothing for None, the result of a
    process that another one leads.
    """
    if values is not None:
        print_json(values) if as_json else print_pairs(values)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print mappings with the same keys as the rows of a table; nothing for no row."""
    if not rows:
        return
    cells = [list(rows[0]), *[[_text(value) for value in row.values()] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
