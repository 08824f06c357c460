"""The part of JSON Schema that the schema of experiments is written in (draft 2020-12)."""

import re
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
Problem = tuple[tuple[str | int, ...], str]
"""Where it is, and the keyword that is violated."""


def find_problems(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> list[Problem]:
    """Return what is wrong with a value, as an editor marks it."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]] | {
            key: each for key, each in schema.items() if key != "$ref"
        }
    found = _check_value(value, schema)
    for each in schema.get("allOf", []):
        found += find_problems(value, each, root)
    if "if" in schema:
        branch = "else" if find_problems(value, schema["if"], root) else "then"
        found += find_problems(value, schema.get(branch, {}), root)
    choices = [find_problems(value, each, root) for each in schema.get("anyOf", [])]
    if choices and all(choices):
        found += min(choices, key=len)
    return found + _check_inner(value, schema, root)


def _check_value(value: Any, schema: dict[str, Any]) -> list[Problem]:
    wanted = schema.get("type", list(TYPES))
    types = [
        each for name in ([wanted] if isinstance(wanted, str) else wanted) for each in TYPES[name]
    ]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    size = len(value) if isinstance(value, list | str) else 0
    broken = {
        "type": type(value) not in types,
        "enum": "enum" in schema and value not in schema["enum"],
        "const": "const" in schema and value != schema["const"],
        "pattern": isinstance(value, str) and not re.search(schema.get("pattern", ""), value),
        "minimum": is_number and value < schema.get("minimum", value),
        "maximum": is_number and value > schema.get("maximum", value),
        "exclusiveMinimum": is_number and not value > schema.get("exclusiveMinimum", value - 1),
        "exclusiveMaximum": is_number and not value < schema.get("exclusiveMaximum", value + 1),
        "minItems": isinstance(value, list) and size < schema.get("minItems", 0),
        "maxItems": isinstance(value, list) and size > schema.get("maxItems", size),
        "minLength": isinstance(value, str) and size < schema.get("minLength", 0),
    }
    return [((), keyword) for keyword, is_broken in broken.items() if is_broken]


def _check_inner(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> list[Problem]:
    found: list[Problem] = []
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for key, each in value.items() if isinstance(value, dict) else ():
        if key not in properties and others is False:
            found.append(((key,), "additionalProperties"))
        else:
            below = find_problems(each, properties.get(key, others), root)
            found += [((key, *place), keyword) for place, keyword in below]
    if isinstance(value, dict):
        found += [((), "required") for key in schema.get("required", []) if key not in value]
    for index, each in enumerate(value if isinstance(value, list) else ()):
        below = find_problems(each, schema.get("items", {}), root)
        found += [((index, *place), keyword) for place, keyword in below]
    return found
