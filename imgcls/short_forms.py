"""Short forms of values that have one meaning: `15%`, and one value for a list. Light zone."""

import re
from decimal import Decimal
from typing import Any

from pydantic_core import core_schema

_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,12})?) ?%")


class Percentage:
    """Annotation of a fraction that can be given as a percentage: `15%` is 0.15."""

    def expand(self, value: Any) -> Any:
        """Return the fraction of a percentage; any other value as it is."""
        match = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
        return float(Decimal(match[1]) / 100) if match else value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: Any
    ) -> dict[str, Any]:
        text = {"type": "string", "pattern": f"^{_PERCENTAGE.pattern}$"}
        return {"if": {"type": "string"}, "then": text, "else": handler(schema)}


class OneMeans:
    """Annotation of a list that can be given as one of its values.

    Args:
        count: how often the value is in the list: `size: 64` is [64, 64].
    """

    def __init__(self, count: int = 1):
        self._count = count

    def expand(self, value: Any) -> Any:
        """Return the list that a value alone means; any other value as it is."""
        is_alone = isinstance(value, (int, float, str, dict)) and not isinstance(value, bool)
        return [value] * self._count if is_alone else value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: Any
    ) -> dict[str, Any]:
        full = handler(schema)
        return {"if": {"type": "array"}, "then": full, "else": full["items"]}
