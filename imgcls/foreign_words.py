"""The words of other trainers for what an experiment sets, with ours. Light zone.

foreign_words.yaml has the table. No word is an alias: an experiment with one is refused, with what
to write instead. The table is asked before the spelling, since `lr` is spelled much like `l2`, and
`workers` like `warmup`.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).with_suffix(".yaml")


@lru_cache
def read_table() -> dict[str, Any]:
    """Return the table: `keys`, `without_key`, `values`, and `parts` by kind.

    Each is a mapping from a word of others to ours: a key with an example, such as
    `train.epochs=5`; a sentence; a value; or a part.
    """
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    kinds = {kind: _invert(names) for kind, names in table.pop("parts").items()}
    return {name: _invert(words) for name, words in table.items()} | {"parts": kinds}


def _invert(table: dict[str, Any]) -> dict[str, str]:
    return {word: ours for ours, words in table.items() for word in str(words).split()}


def explain_key(word: str) -> str | None:
    """Return what to write instead of a word that others use for a key; None for other words."""
    table, word = read_table(), normalize(word)
    if word in table["without_key"]:
        return str(table["without_key"][word])
    if word not in table["keys"]:
        return None
    key, _, value = table["keys"][word].partition("=")
    *sections, last = key.split(".")
    example = f"{last}: {value}"
    for section in reversed(sections):
        example = f"{section}: {{{example}}}"
    return f"the key is {key}, as in {example}"


def explain_part(kind: str, name: str) -> str | None:
    """Return what to write instead of a name that others use for a part; None for other names."""
    found = read_table()["parts"].get(kind, {}).get(normalize(name))
    return found and f"write {found}"


def explain_value(value: object, allowed: str) -> str | None:
    """Return what to write instead of a value of others; None unless ours is allowed.

    Args:
        allowed: the allowed values, each in quotes.
    """
    found = read_table()["values"].get(normalize(str(value)))
    return f"write {found}" if found and f"'{found}'" in allowed else None


def normalize(word: str) -> str:
    """Return a word as the table has it: in lower case, with underscores."""
    return re.sub(r"[- ]", "_", word.strip().lower())
