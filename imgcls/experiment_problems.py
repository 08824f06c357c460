"""Mistakes in an experiment, in words: where, what was received, what to write. Light zone."""

import re
from typing import Any

from imgcls import experiment_keys, foreign_words, parts
from imgcls.io.yaml_file import Document, Location, Mark

RULES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys to values",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "int_parsing_size": "must be a smaller number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "model_type": "must be a mapping of keys to values",
    "string_pattern_mismatch": "must match the regular expression {pattern}",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_long": "must have {max_length} values at most",
    "too_short": "must have {min_length} values or more",
}
"""What pydantic's errors of our settings mean; the other ones have a text of ours."""

UNKNOWN = ("extra_forbidden", "invalid_key")
"""Pydantic's errors of a key that a section does not have, or that is not text."""


def explain(problem: Any, document: Document) -> tuple[Mark, str]:
    """Return the mark of a mistake, and a message: what is wrong, received and allowed.

    Args:
        problem: one of the `errors()` of pydantic.
    """
    location: Location = problem["loc"]
    kind, name = problem["type"], ".".join(map(str, location))
    if kind in UNKNOWN:
        return document.find_mark(location, of_key=True), _explain_key(document.value, location)
    if kind == "missing":
        return document.find_mark(location), f"{name} is missing; add it"
    if kind == "unknown_part":
        return document.find_mark((*location, "name")), f"{name}: {problem['msg']}"
    message = describe(problem)
    mark = _find_mark_of_keys(document, location, message)
    return mark, f"{name}: {message}" if name else message


def describe(problem: Any) -> str:
    """Return what is wrong, and what was received, without the place."""
    kind, value = problem["type"], problem["input"]
    if kind in UNKNOWN:
        return "is not a key that it has"
    if kind == "missing":
        return "is missing; add it"
    if kind not in RULES:
        message: str = problem["msg"].removeprefix("Value error, ")
        received = "" if kind == "value_error" else f"; got {_format_value(value)}"
        return f"{message[0].lower()}{message[1:]}{received}"
    context = problem.get("ctx", {})
    rule = RULES[kind].format(**{key: _format_limit(limit) for key, limit in context.items()})
    return f"{rule}; got {_format_value(value)}{_advise(kind, value, context)}"


def _advise(kind: str, value: Any, context: dict[str, Any]) -> str:
    """Return what to do about a value, in parentheses; nothing if that is plain."""
    if kind in ("int_type", "float_type") and isinstance(value, str):
        is_number = re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?", value)
        return " (a number has no quotes)" if is_number else ""
    if kind == "bool_type" and str(value).lower() in ("yes", "no", "on", "off"):
        return " (YAML 1.2 has only true and false)"
    if kind == "literal_error":
        other = foreign_words.explain_value(value, context["expected"])
        words = re.findall(r"'([^']*)'", context["expected"])
        return f" ({other})" if other else parts.suggest(str(value), words)
    return ""


def _explain_key(value: Any, location: Location) -> str:
    """Return a message about an unknown key: what to write instead, or the allowed keys."""
    *above, key = location
    word, section = str(key), f" in {'.'.join(map(str, above))}" if above else ""
    owners = experiment_keys.list_parts_with(tuple(above), word)
    if owners:
        return f"unknown key '{word}'{section}; it is a key of {', '.join(owners)}"
    if homes := experiment_keys.find_homes(value, foreign_words.normalize(word)):
        return f"unknown key '{word}'{section}; the key is {' or '.join(homes)}"
    if foreign := foreign_words.explain_key(word):
        return f"unknown key '{word}'{section}; {foreign}"
    allowed = experiment_keys.find_allowed_keys(value, tuple(above))
    guess = parts.suggest(word, allowed)
    return f"unknown key '{word}'{section}; allowed: {', '.join(allowed)}{guess}"


def _find_mark_of_keys(document: Document, location: Location, message: str) -> Mark:
    """Return the mark of a mistake at a location, which may follow from several keys below it.

    The message then names them, and the mark is that of the last one, or of a `--set` if there is
    any among them.
    """
    named = []
    for inner, mark in document.values.items():
        key = ".".join(map(str, inner[len(location) :]))
        is_below = key and inner[: len(location)] == location
        if is_below and re.search(rf"(?<![\w.]){re.escape(key)}(?!\.?\w)", message):
            named.append(mark)
    last = max(named, key=lambda mark: (mark.line is None, mark.order), default=None)
    return last or document.find_mark(location)


def _format_limit(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _format_value(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
