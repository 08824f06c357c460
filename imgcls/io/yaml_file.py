"""Reading YAML with the line of every value; no tags, aliases or duplicate keys. Light zone.

Scalars follow the YAML 1.2 core schema, in which `1e-3` is a number and `no` is a string. PyYAML
implements YAML 1.1, in which `1e-3` is a string and `no` is false.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from imgcls.errors import UserError

if TYPE_CHECKING:
    import yaml._yaml

Location = tuple[str | int, ...]

_SCALARS: list[tuple[str, re.Pattern[str], Callable[[str], Any]]] = [
    ("null", re.compile(r"~|null|Null|NULL|$"), lambda text: None),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    ("int", re.compile(r"[-+]?[0-9]{1,19}"), int),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    ("float", re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    ("float", re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
]


@dataclass(frozen=True)
class Mark:
    """The source of a value: a file, line and column (from 1), or a `--set` option."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"

    @property
    def order(self) -> tuple[str, int, int]:
        """The sort key: file, line, column."""
        return (self.source, self.line or 0, self.column or 0)


@dataclass
class Document:
    """A YAML value, with the marks of all keys and values in it."""

    value: Any
    values: dict[Location, Mark] = field(default_factory=dict)
    keys: dict[Location, Mark] = field(default_factory=dict)

    def find_mark(self, location: Location, of_key: bool = False) -> Mark:
        """Return the mark of a location, or of its nearest parent that has one.

        Args:
            of_key: whether to return the mark of the key instead of its value.
        """
        if of_key and location in self.keys:
            return self.keys[location]
        while location not in self.values and location:
            location = location[:-1]
        return self.values.get(location, Mark("the experiment"))


class ProblemsError(UserError):
    """The experiment has mistakes, all of which are reported, each with its position."""

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


def read(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        UserError: the file cannot be read.
        ProblemsError: its syntax is wrong, or it has tags, aliases or duplicate keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; give the path of an experiment file (YAML)"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8"
        ) from None
    return parse(text, str(path))


def parse(text: str, source: str) -> Document:
    """Parse YAML text; raises as `read` does.

    Args:
        source: name of the text in messages.
    """
    document = Document(None, values={(): Mark(source, 1, 1)})
    problems: list[str] = []
    try:
        _reject_aliases(text, source)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document.value = _build(node, (), document, source, problems) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = _make_mark(error.problem_mark or error.context_mark, source)
        raise ProblemsError([f"{mark}: YAML syntax: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise ProblemsError([f"{source}: YAML syntax: {' '.join(str(error).split())}"]) from None
    except RecursionError:
        raise ProblemsError([f"{source}: nested too deeply for an experiment file"]) from None
    if problems:
        raise ProblemsError(problems)
    return document


def _reject_aliases(text: str, source: str) -> None:
    """Reject aliases before parsing, since a few lines with aliases can expand to gigabytes."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            mark = _make_mark(event.start_mark, source)
            raise ProblemsError(
                [
                    f"{mark}: alias '*{event.anchor}' is not allowed; write the value again, or"
                    " share it with extends:"
                ]
            )


def _build(
    node: yaml.Node, location: Location, document: Document, source: str, problems: list[str]
) -> Any:
    document.values[location] = _make_mark(node.start_mark, source)
    if (
        not node.tag.startswith("tag:yaml.org,2002:")
        or node.tag.rpartition(":")[2] not in _PLAIN_TAGS
    ):
        problems.append(
            f"{document.values[location]}: tag {node.tag} is not allowed; write a plain value"
        )
        return None
    if isinstance(node, yaml.ScalarNode):
        return _parse_scalar(node)
    if isinstance(node, yaml.MappingNode):
        return dict(_build_pairs(node, location, document, source, problems))
    return [
        _build(item, (*location, i), document, source, problems)
        for i, item in enumerate(node.value)
    ]


def _build_pairs(
    node: yaml.MappingNode, location: Location, document: Document, source: str, problems: list[str]
) -> Iterator[tuple[Any, Any]]:
    for key_node, value_node in node.value:
        mark = _make_mark(key_node.start_mark, source)
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(f"{mark}: a key must be a word, not a list or mapping")
            continue
        key = key_node.value
        if (*location, key) in document.keys:
            problems.append(
                f"{mark}: key '{key}' is given twice, first in line"
                f" {document.keys[(*location, key)].line}; remove one of them"
            )
            continue
        document.keys[(*location, key)] = mark
        yield key, _build(value_node, (*location, key), document, source, problems)


_PLAIN_TAGS = {"null", "bool", "int", "float", "str", "map", "seq", "timestamp", "merge", "value"}


def _parse_scalar(node: yaml.ScalarNode) -> Any:
    if node.style is not None:  # a quoted or block scalar is always text
        return node.value
    for _, pattern, convert in _SCALARS:
        if pattern.fullmatch(node.value):
            return convert(node.value)
    return node.value


def _make_mark(mark: "yaml.Mark | yaml._yaml.Mark | None", source: str) -> Mark:
    """Return where PyYAML, which counts from 0, found something; the source alone where it does not
    say.
    """
    return Mark(source, mark.line + 1, mark.column + 1) if mark else Mark(source)


class _Dumper(yaml.SafeDumper):
    """Quotes text that would be parsed as another type."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    looks_like_a_value = any(pattern.fullmatch(text) for _, pattern, _ in _SCALARS)
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="'" if looks_like_a_value else None
    )


_Dumper.add_representer(str, _represent_text)


def dump(value: Any) -> str:
    """Return YAML text that `parse` converts back to an equal value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
