"""Parsing NAME=VALUE, the form of `--set`, `--fail-under` and `--tolerance`. Light zone."""

import math
from collections.abc import Sequence

from imgcls.errors import UserError


def parse_pair(option: str, text: str, form: str) -> tuple[str, str]:
    """Return the name and the value, both as text.

    Args:
        option: such as `--set`, for the message.
        form: for the message, such as `KEY=VALUE, such as train.epochs=5`.

    Raises:
        UserError: there is no name, or no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        line = text.replace("\n", "\\n")
        quoted = line if len(line) <= 100 else f"{line[:100]}..."
        raise UserError(f"{option} {quoted}: needs the form {form}")
    return name.strip(), value


def parse_number(option: str, text: str, form: str) -> tuple[str, float]:
    """Return the name, and the value as a number.

    Raises:
        UserError: as for `parse_pair`, or the value is not a finite number.
    """
    name, value = parse_pair(option, text, form)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{option} {text}: '{value.strip()}' is not a finite number")
    return name, number


def parse_numbers(option: str, texts: Sequence[str], form: str) -> dict[str, float]:
    """Return the numbers of all that an option is given, by name.

    Raises:
        UserError: as of `parse_number`, or a name is given twice.
    """
    numbers: dict[str, float] = {}
    for text in texts:
        name, number = parse_number(option, text, form)
        if name in numbers:
            raise UserError(f"{option} {text}: {name} is given twice; give it once")
        numbers[name] = number
    return numbers
