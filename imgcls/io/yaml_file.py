"""Reading YAML with the line of every value; no tags, aliases or duplicate keys. Light zone.

Size, values and depth are limited, so that reading takes a second at most, whatever a file holds.

Scalars follow the YAML 1.2 core schema, in which `1e-3` is a number and `no` is a string. PyYAML
implements YAML 1.1, in which `1e-3` is a string and `no` is false.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from imgcls.errors import UserError

if TYPE_CHECKING:
    import yaml._yaml

Location = tuple[str | int, ...]

MAX_BYTES = 100_000
"""Size of a file, or of one with its `extends:` parents; weights of 3,000 classes fit."""
MAX_VALUES = 10_000
"""Keys, values, lists and mappings in a file."""
MAX_DEPTH = 32
"""Lists and mappings in each other; an experiment has about ten."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

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
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: characters that no file name has
        raise UserError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}; give the path of an"
            " experiment file (YAML)"
        ) from None
    require_size(len(data), str(path))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        mark = _locate(data[: error.start].decode("utf-8"), str(path))
        raise ProblemsError(
            [f"{mark}: not UTF-8 text (byte {error.start}); save the file as UTF-8"]
        ) from None
    return parse(text, str(path))


def require_size(size: int, source: str) -> None:
    """Refuse text that is longer than an experiment can be.

    Raises:
        ProblemsError: it has more than `MAX_BYTES`.
    """
    if size > MAX_BYTES:
        mark = Mark(source) if source.startswith("--set") else Mark(source, 1, 1)
        raise ProblemsError(
            [f"{mark}: has over {MAX_BYTES:,} bytes, which no experiment needs; give a shorter one"]
        )


def parse(text: str, source: str) -> Document:
    """Parse YAML text; raises as `read` does.

    Args:
        source: name of the text in messages.
    """
    document = Document(None, values={(): Mark(source, 1, 1)})
    problems: list[str] = []
    try:
        node = _compose(text, source)
        document.value = _build(node, (), document, source, problems) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = _make_mark(error.problem_mark or error.context_mark, source)
        raise ProblemsError([f"{mark}: YAML syntax: {error.problem or error.context}"]) from None
    except yaml.reader.ReaderError as error:
        mark = _locate(text[: error.position], source)
        raise ProblemsError(
            [f"{mark}: YAML syntax: the character {text[error.position]!a} is not allowed"]
        ) from None
    if problems:
        raise ProblemsError(problems)
    return document


class _Loader(yaml.SafeLoader):
    """Rejects aliases, since a few lines with aliases can expand to gigabytes, and what is too deep
    or too long, while it composes.
    """

    def __init__(self, text: str, source: str):
        super().__init__(text)
        self._source = source
        self._depth = 0
        self._count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose the next value, and those in it."""
        event = cast("Callable[[], yaml.Event]", self.peek_event)()
        mark = _make_mark(event.start_mark, self._source)
        if isinstance(event, yaml.AliasEvent):
            raise ProblemsError(
                [
                    f"{mark}: alias '*{event.anchor}' is not allowed; write the value again, or"
                    " share it with extends:"
                ]
            )
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            raise ProblemsError(
                [
                    f"{mark}: nested too deeply for an experiment file; {MAX_DEPTH} lists and"
                    " mappings in each other are allowed"
                ]
            )
        if self._count > MAX_VALUES:
            raise ProblemsError(
                [f"{mark}: has over {MAX_VALUES:,} keys and values, which no experiment needs"]
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _compose(text: str, source: str) -> yaml.Node | None:
    loader = _Loader(text, source)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _locate(before: str, source: str) -> Mark:
    """Return the mark of what follows some text."""
    lines = _LINE_BREAK.split(before)
    return Mark(source, len(lines), len(lines[-1]) + 1)


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
        if surrogate := _SURROGATE.search(node.value):
            problems.append(
                f"{document.values[location]}: {surrogate[0]!a} is not a character of its own;"
                " write text that UTF-8 can encode"
            )
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
    style = "'" if looks_like_a_value else None
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=style if _is_printable(text) else '"'
    )


def _is_printable(text: str) -> bool:
    return text.replace("\n", "").isprintable()


_Dumper.add_representer(str, _represent_text)


def dump(value: Any) -> str:
    """Return YAML text that `parse` converts back to an equal value."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    if _is_printable(text):
        return text
    return "".join(  # in double quotes, where YAML has escapes for them
        each if each == "\n" or each.isprintable() else f"\\U{ord(each):08X}" for each in text
    )
