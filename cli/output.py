"""Printing results: stdout carries nothing else. Light zone."""

import json
from collections.abc import Callable
from operator import methodcaller
from typing import Any

from imgcls.errors import GateError


def print_result(result: Any, as_json: bool, to_text: Callable[[Any], str]) -> None:
    """Print what a verb returned, as JSON or as text; nothing for None, the result of a process
    that another one leads.
    """
    if result is None:
        return
    text = to_json(result) if as_json else to_text(result)
    if text:
        print(text.removesuffix("\n"))


def print_gated(work: Callable[[], Any], as_json: bool, to_text: Callable[[Any], str]) -> None:
    """Print what a verb returns, or would have returned if its gates had not failed.

    Raises:
        GateError: they did.
    """
    try:
        result = work()
    except GateError as error:
        print_result(error.result, as_json, to_text)
        raise
    print_result(result, as_json, to_text)


def to_json(result: Any) -> str:
    """Return a JSON value, or a record, as text."""
    return json.dumps(result, indent=2, allow_nan=False, default=methodcaller("model_dump"))
