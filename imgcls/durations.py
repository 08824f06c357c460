"""Durations with a unit, as experiment files state them: `5%`, `500 steps`, `3 epochs`, `55m`.
Light zone.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic_core import core_schema

Unit = Literal["%", "steps", "epochs", "s", "m", "h"]

_FORM = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,12})?) ?(%|steps?|epochs?|s|m|h)?")
_SECONDS: dict[str, int] = {"s": 1, "m": 60, "h": 3600}
_EXAMPLES: dict[Unit, str] = {
    "%": "5%",
    "steps": "500 steps",
    "epochs": "3 epochs",
    "s": "30s",
    "m": "55m",
    "h": "2h",
}


@dataclass(frozen=True)
class Duration:
    """A stretch of a training, or a time: a number above 0, and its unit."""

    number: Decimal
    unit: Unit

    def __str__(self) -> str:
        number = f"{self.number:f}"  # never with an exponent, which is not read back
        if self.unit not in ("steps", "epochs"):
            return f"{number}{self.unit}"
        return f"{number} {self.unit.removesuffix('s') if self.number == 1 else self.unit}"

    @property
    def seconds(self) -> float:
        """How long a time is, in seconds."""
        return float(self.number) * _SECONDS[self.unit]

    def count_steps(self, steps: int, steps_per_epoch: int) -> int:
        """Return how many steps of a training it covers; a percentage is rounded.

        Args:
            steps: how many the whole training has.
            steps_per_epoch: how many an epoch has.
        """
        if self.unit == "%":
            # The nearest float of the fraction: 0.7% of 500 steps is round(0.007 * 500).
            return round(float(self.number / 100) * steps)
        return int(self.number) * (steps_per_epoch if self.unit == "epochs" else 1)

    def find_end(self, epochs: int, steps_per_epoch: int) -> int:
        """Return the step at which it ends if it begins with the training; a percentage is rounded
        up to whole epochs.
        """
        if self.unit == "%":
            return math.ceil(self.number * epochs / 100) * steps_per_epoch
        return self.count_steps(epochs * steps_per_epoch, steps_per_epoch)


def parse_duration(text: str) -> Duration:
    """Read a duration; `5.0%` is `5%`.

    Raises:
        ValueError: the text is not a number with a unit, or the number is not above 0, more than
            100%, or not whole where it counts steps or epochs. The message goes on after "is ...,
            which".
    """
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise ValueError("is not a number with a unit")
    number, word = Decimal(found[1]).normalize(), found[2]
    if not word:
        raise ValueError("has no unit")
    unit: Any = {"step": "steps", "epoch": "epochs"}.get(word, word)
    if number <= 0:
        raise ValueError("is not above 0")
    if unit == "%" and number > 100:
        raise ValueError("is more than 100%")
    if unit in ("steps", "epochs") and number != int(number):
        raise ValueError(f"is not a whole number of {unit}")
    return Duration(number, unit)


class DurationIn:
    """Annotation of a field that holds a `Duration` in one of the given units, written as text."""

    def __init__(self, *units: Unit):
        self.units = units

    def validate(self, value: Any) -> Duration:
        """Return the duration that a text states, or raise `ValueError` with what is allowed."""
        try:
            duration = parse_duration(str(value))
        except ValueError as error:
            problem = str(error)
        else:
            if duration.unit in self.units:
                return duration
            problem = "has a unit that is not allowed here"
        examples = [_EXAMPLES[unit] for unit in self.units]
        allowed = f"{', '.join(examples[:-1])} or {examples[-1]}" if examples[1:] else examples[0]
        shown = repr(str(value) if isinstance(value, Duration) else value)
        raise ValueError(f"is {shown}, which {problem}; give a duration such as {allowed}")

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: Any
    ) -> dict[str, Any]:
        words = {"steps": "steps?", "epochs": "epochs?"}
        units = "|".join(words.get(unit, unit) for unit in self.units)
        return {
            "type": "string",
            "pattern": rf"^[0-9]+(\.[0-9]+)? ?({units})$",
            "examples": [_EXAMPLES[unit] for unit in self.units],
        }
