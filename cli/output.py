"""Printing results: stdout carries nothing else. Light zone."""

import json
from typing import Any


def print_json(value: Any) -> None:
    """Print one JSON value."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_text(text: str) -> None:
    """Print a text for people; nothing for an empty one."""
    if text:
        print(text)


def print_result(values: dict[str, Any] | None, as_json: bool) -> None:
    """Print names and values, as JSON if the user asked for it; nothing for None, the result of a
    process that another one leads.
    """
    from imgcls.report.tables import format_pairs

    if values is not None:
        print_json(values) if as_json else print(format_pairs(values))
