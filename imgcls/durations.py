"""Durations with a unit, such as `5%`, `500 steps`, `3 epochs` or `55m`. Light zone."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic_core import core_schema

Unit = Literal["%", "steps", "epochs", "s", "m", "h"]

_PATTERN = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,12})?) ?(%|steps?|epochs?|s|m|h)?")
_SECONDS: dict[Unit, int] = {"s": 1, "m": 60, "h": 3600}
_DECIMALS = r"(?:\.[0-9]{1,12})?"
_SCHEMA_PATTERNS: dict[Unit, str] = {
    "%": rf"(?:0{{0,9}}100(?:\.0{{1,12}})?|0{{0,10}}[0-9]{{1,2}}{_DECIMALS}) ?%",
    "steps": r"[0-9]{1,12}(?:\.0{1,12})? ?steps?",
    "epochs": r"[0-9]{1,12}(?:\.0{1,12})? ?epochs?",
    **{unit: rf"[0-9]{{1,12}}{_DECIMALS} ?{unit}" for unit in _SECONDS},
}
"""What an editor accepts of each unit: with `_IS_ABOVE_0`, exactly what `parse_duration` does."""
_IS_ABOVE_0 = "(?=[0.]*[1-9])"
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
    """A fraction of training, a number of steps or epochs, or a time; the number is above 0."""

    number: Decimal
    unit: Unit

    def __str__(self) -> str:
        number = f"{self.number:f}"  # without an exponent, which `parse_duration` rejects
        if self.unit not in ("steps", "epochs"):
            return f"{number}{self.unit}"
        return f"{number} {self.unit.removesuffix('s') if self.number == 1 else self.unit}"

    @property
    def seconds(self) -> float:
        """The time in seconds; the unit must be s, m or h."""
        return float(self.number) * _SECONDS[self.unit]

    def count_steps(self, steps: int, steps_per_epoch: int) -> int:
        """Return the number of training steps; a percentage is rounded.

        Args:
            steps: total number of training steps.
            steps_per_epoch: number of steps per epoch.
        """
        if self.unit == "%":
            # The float nearest to the fraction: 0.7% of 500 steps is round(0.007 * 500).
            return round(float(self.number / 100) * steps)
        return int(self.number) * (steps_per_epoch if self.unit == "epochs" else 1)

    def find_end(self, epochs: int, steps_per_epoch: int) -> int:
        """Return its last step + 1 if it begins with training; percentages end with an epoch."""
        if self.unit == "%":
            return math.ceil(self.number * epochs / 100) * steps_per_epoch
        return self.count_steps(epochs * steps_per_epoch, steps_per_epoch)


def parse_duration(text: str) -> Duration:
    """Parse a duration; `5.0%` equals `5%`.

    Raises:
        ValueError: the text is not a number with a unit, the number is not above 0, a percentage is
            above 100, or a number of steps or epochs is not an integer. The message continues a
            sentence that begins with "is ..., which".
    """
    match = _PATTERN.fullmatch(text)
    if not match:
        raise ValueError("is not a number with a unit")
    number, word = Decimal(match[1]).normalize(), match[2]
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
    """Annotation of a field with a `Duration` in one of the given units, serialized as text."""

    def __init__(self, *units: Unit):
        self.units = units

    def validate(self, value: Any) -> Duration:
        """Parse a duration, or raise a `ValueError` that says what is allowed."""
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
        patterns = "|".join(_SCHEMA_PATTERNS[unit] for unit in self.units)
        return {
            "type": "string",
            "pattern": f"^{_IS_ABOVE_0}(?:{patterns})$",
            "examples": [_EXAMPLES[unit] for unit in self.units],
        }
