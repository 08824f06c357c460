"""Models of the JSON files that imgcls writes and reads. Light zone.

A `Record` is a JSON object, either a file or a line of a .jsonl file; imgcls/io/array_records.py
has the models of arrays. A file that does not match its model raises a `DataError` of one line,
which names the file, says what is wrong, and what to do.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from imgcls.errors import DataError
from imgcls.io import files
from imgcls.io.data_file import DataFile
from imgcls.io.terminal import to_printable

ModelType = TypeVar("ModelType", bound="Record")

Shape = Annotated[tuple[int, int, int], Field(strict=False)]
"""Height, width and channels, a list in JSON."""

_MAX_SHOWN = 40  # characters of a wrong value in a message


class Record(BaseModel):
    """A JSON object with exactly the declared keys: strictly typed, immutable, numbers finite.

    Text may contain lone surrogates, which stand for bytes of file names that are not UTF-8.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


class VersionedRecord(Record):
    """A record with the format version of the folder that it describes; 1 if the key is missing."""

    SUBJECT: ClassVar[str]
    """What the folder is, such as `a run`."""
    FORMAT: ClassVar[int]
    """The only format that is read."""


class FormatError(DataError):
    """A folder was written by another version of imgcls. Exit code 3.

    Attributes:
        folder_format: the format of the folder.
    """

    def __init__(self, message: str, folder_format: int):
        super().__init__(message)
        self.folder_format = folder_format


def write_record(path: Path, record: Record) -> None:
    """Write a JSON file atomically.

    Raises:
        UserError: the file cannot be written.
    """
    files.write_text(path, to_json(record, indent=2))


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write a .jsonl file atomically.

    Raises:
        UserError: the file cannot be written.
    """
    files.write_text(path, "".join(to_json(record) for record in records))


def to_json(record: Record, indent: int | None = None) -> str:
    """Return a record as JSON text with a final line break."""
    return json.dumps(record.model_dump(), indent=indent, allow_nan=False) + "\n"


def read_record(
    path: Path, model: type[ModelType], advice: str, old_format_advice: str = ""
) -> ModelType:
    """Read a JSON file.

    Args:
        advice: what to do if the file is damaged, as the end of the message.
        old_format_advice: what to do if the folder has an older format, for a `VersionedRecord`.

    Raises:
        FormatError: the folder has another format.
        DataError: the file cannot be read, or is damaged.
    """
    file = DataFile(path, advice)
    value = _parse(file.read_bytes(), file)
    if issubclass(model, VersionedRecord):
        _check_format(path.parent, model, value, old_format_advice)
    return validate(value, model, file)


def read_records(path: Path, model: type[ModelType], advice: str) -> list[ModelType]:
    """Read a .jsonl file; raises as `read_record` does, and names the line."""
    file = DataFile(path, advice)
    lines = file.read_bytes().split(b"\n")
    if lines.pop():
        raise file.make_damage_error("its last line is truncated")
    return [
        parse_record(line, model, DataFile(path, advice, f"line {number}: "))
        for number, line in enumerate(lines, 1)
    ]


def parse_record(content: bytes, model: type[ModelType], file: DataFile) -> ModelType:
    """Parse JSON text from a file.

    Raises:
        DataError: it is not valid JSON, or does not match the model.
    """
    return validate(_parse(content, file), model, file)


def validate(value: Any, model: type[ModelType], file: DataFile) -> ModelType:
    """Convert a JSON value, or arrays by name, to a record.

    Raises:
        DataError: it does not match the model.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problem = _explain(error.errors(include_url=False)[0], value)
    raise file.make_damage_error(problem)


def _parse(content: bytes, file: DataFile) -> Any:
    """Parse JSON; reject NaN, infinity and duplicate keys, which the json module accepts."""
    try:
        return json.loads(
            content.decode("utf-8"), parse_constant=_reject_constant, object_pairs_hook=_make_object
        )
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text: byte {error.start}"
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:  # from the two hooks, or a number with thousands of digits
        problem = f"not JSON: {error}"
    raise file.make_damage_error(problem)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        duplicate = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {duplicate!r} is given twice")
    return value


def _check_format(
    folder: Path, model: type[VersionedRecord], value: Any, old_format_advice: str
) -> None:
    if not isinstance(value, dict) or not value.keys() & model.model_fields.keys():
        return  # no version wrote this; validation says what is wrong
    number = value.get("format", 1)
    if type(number) is int and number != model.FORMAT:
        later = "a later version wrote it; update imgcls"
        advice = old_format_advice if number < model.FORMAT else later
        message = (
            f"{folder} is {model.SUBJECT} of format {number}; this imgcls reads format"
            f" {model.FORMAT}: {advice}"
        )
        raise FormatError(to_printable(message), number)


_EXPECTED = {
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_unicode": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "none_required": "null",
}
"""What each of pydantic's type errors expects, in the terms of JSON."""
_LIMITS = {"too_long": "at most {max_length}", "too_short": "at least {min_length}"}


def _explain(problem: ErrorDetails, value: Any) -> str:
    """Return a message with the key, what is expected, and what was received."""
    name = _format_location(problem["loc"], value)
    kind, received, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"{name} is an unknown key"
    if kind in _LIMITS:
        limit = _LIMITS[kind].format(**context)
        message = f"should have {limit} items, got {context['actual_length']}"
    elif kind in _EXPECTED:
        message = f"should be {_EXPECTED[kind]}, got {_describe(received)}"
    elif kind == "value_error":
        message = str(context["error"])
    else:
        message = f"{problem['msg'].removeprefix('Input ')}, got {_describe(received)}"
    return f"{name}: {message}" if name else message


def _format_location(location: tuple[int | str, ...], value: Any) -> str:
    """Return a location such as `epochs[3].loss`, without what pydantic adds for unions."""
    name = ""
    for key in location:
        if isinstance(value, list | tuple) and isinstance(key, int):
            name += f"[{key}]"
            value = value[key] if key < len(value) else None
        elif isinstance(value, dict):
            name += f".{key}" if name else str(key)
            value = value.get(key)
        else:
            break
    return name


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
