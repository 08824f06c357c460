"""The settings of a part in words: keys, types, defaults, sentences. Light zone."""

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from imgcls import parts
from imgcls.experiment_schema import make_section_schema

WIDTH = 80
"""Columns of the text."""
_TYPES = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "mapping",
    "string": "text",
}
_LIMITS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "{} or less",
    "exclusiveMaximum": "below {}",
}


def find_parts(name: str) -> list[tuple[str, str]]:
    """Return the kind and name of each part of a name, which may be `kind/name`; none of a kind."""
    if name in parts.KINDS:
        return []
    pairs = [(kind, each) for kind in parts.KINDS for each in parts.list_names(kind)]
    return [pair for pair in pairs if name in (pair[1], "/".join(pair))]


def describe_part(kind: str, name: str) -> dict[str, Any]:
    """Return the `kind`, `name`, `summary` and `settings` of a part.

    A setting has its `key`; its `type`, in words; whether it is `required`; its `default`, which
    is None too where it is computed; and its `description`.
    """
    module = parts.load(kind, name)
    schema = make_section_schema(module.Settings)
    settings = [
        {
            "key": key,
            "type": describe_type(each),
            "required": key in schema["required"],
            "default": each.get("default"),
            "description": " ".join(each.get("description", "").split()),
        }
        for key, each in schema["properties"].items()
        if key != "name"
    ]
    return {"kind": kind, "name": name, "summary": parts.summarize(module), "settings": settings}


def describe_type(schema: Mapping[str, Any]) -> str:
    """Return what a JSON Schema accepts, such as "number, 0 or more" or "'a', 'b' or null"."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(describe_type, schema["anyOf"])))
    if "allOf" in schema:
        return f"part: {', '.join(schema['allOf'][0]['else']['enum'])}"
    if "if" in schema:
        if schema["if"] == {"type": "null"}:
            return f"{describe_type(schema['else'])} or null"
        if schema["if"] == {"type": "string"}:
            return f"{describe_type(schema['else'])}, or a percentage"
        return f"{describe_type(schema['then'])}, or one for all"
    if "enum" in schema:
        *first, last = map(_write, schema["enum"])
        return f"{', '.join(first)} or {last}" if first else last
    if "items" in schema:
        counts = {schema.get(name) for name in ("minItems", "maxItems")}
        count = f" of {schema['minItems']}" if len(counts) == 1 and None not in counts else ""
        return f"list{count}, each a {describe_type(schema['items'])}"
    limits = [text.format(schema[key]) for key, text in _LIMITS.items() if key in schema]
    examples = [f"such as {', '.join(schema['examples'])}"] if "examples" in schema else []
    return ", ".join([_TYPES.get(schema.get("type", ""), "mapping"), *limits, *examples])


def _write(value: Any) -> str:
    """Return a value on one line, as YAML has it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(_write, value))}]"
    return json.dumps(value)


def format_part(part: Mapping[str, Any]) -> str:
    """Return a part as text: its summary, and its settings with what they are."""
    lines = [f"{part['name']} ({part['kind']})", *_wrap(part["summary"], "")]
    for each in part["settings"]:
        has_default = each["default"] is not None or "null" in each["type"]
        default = f"default {_write(each['default'])}" if has_default else "optional"
        default = "required" if each["required"] else default
        lines += ["", *_wrap(f"{each['key']}: {each['type']}; {default}", "", "  ")]
        lines += _wrap(each["description"], "    ")
    return "\n".join(lines)


def _wrap(text: str, indent: str, later_indent: str | None = None) -> list[str]:
    later = indent if later_indent is None else later_indent
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=later)
