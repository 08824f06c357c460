"""Printing results: stdout carries nothing else. Light zone."""

import json
import shlex
from collections.abc import Callable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any

from imgcls.errors import GateError
from imgcls.io.terminal import to_printable_text


def print_result(result: Any, as_json: bool, to_text: Callable[[Any], str]) -> None:
    """Print what a verb returned, as JSON or as text; nothing for None, the result of a process
    that another one leads.
    """
    if result is None:
        return
    text = to_json(result) if as_json else to_text(result)
    if text:
        print(to_printable_text(text.removesuffix("\n")))


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


def quote_arguments(experiment: Path, overrides: Sequence[str]) -> str:
    """Return an experiment and its `--set` options as they follow another command in a shell."""
    options = [word for override in overrides for word in ("--set", override)]
    return shlex.join([str(experiment), *options])


def to_json(result: Any) -> str:
    """Return a JSON value, or a record, as text."""
    return json.dumps(result, indent=2, allow_nan=False, default=methodcaller("model_dump"))
