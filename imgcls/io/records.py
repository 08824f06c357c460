"""What imgcls writes to disk for itself: models through which files are written and read. Light
zone.

A `Record` is a JSON object, in a file of its own or as a line of one; imgcls/io/array_records.py
has those of arrays. Whatever else lies in a file's place is a `DataError` of one line, which names
the file, says what is wrong with it, and what to do.
"""

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from imgcls.errors import DataError
from imgcls.io import files
from imgcls.io.terminal import to_printable

ModelType = TypeVar("ModelType", bound="Record")

Shape = Annotated[tuple[int, int, int], Field(strict=False)]
"""Height, width and channels, a list in JSON."""

_GIVEN = 40
"""Characters of a wrong value that a message shows."""


class Record(BaseModel):
    """A JSON object with exactly these keys; types are not guessed, numbers are finite, and values
    do not change.

    Text may hold lone surrogates, as file names that are not UTF-8 do.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


class VersionedRecord(Record):
    """A record that states its format, for the folder that it describes; one that states none is of
    format 1.
    """

    SUBJECT: ClassVar[str]
    """What the folder is, such as `a run`."""
    FORMAT: ClassVar[int]
    """The one format that is read."""


class FormatError(DataError):
    """A folder was written by another version of imgcls. Exit code 3.

    Attributes:
        found: its format.
    """

    def __init__(self, message: str, found: int):
        super().__init__(message)
        self.found = found


@dataclass(frozen=True)
class DataFile:
    """A file that imgcls wrote, and what to say of it.

    Attributes:
        advice: what to do where it does not hold what it should, as the end of a sentence.
        place: where in the file, in front of what is wrong there.
    """

    path: Path
    advice: str
    place: str = ""

    def read_bytes(self) -> bytes:
        """Return what the file holds.

        Raises:
            DataError: it cannot be read.
        """
        try:
            self.require_regular()
            return self.path.read_bytes()
        except OSError as error:
            raise self.unreadable(error) from None

    def require_regular(self) -> None:
        """Refuse a folder, and what would block or never end, such as a pipe or a device.

        Raises:
            DataError: something else lies in the file's place.
            OSError: nothing does.
        """
        mode = self.path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise DataError(to_printable(f"{self.path} is {kind}; remove it, and {self.advice}"))

    def unreadable(self, error: OSError) -> DataError:
        """Return the error of a file that cannot be read."""
        reason = error.strerror or str(error)
        if isinstance(error, FileNotFoundError) and self.path.is_symlink():
            reason = f"it is a link to {os.readlink(self.path)}, which does not exist"
        return DataError(to_printable(f"cannot read {self.path}: {reason}; {self.advice}"))

    def damaged(self, problem: str) -> DataError:
        """Return the error of a file that holds something else."""
        return DataError(
            to_printable(f"{self.path} is damaged ({self.place}{problem}); {self.advice}")
        )


def write_record(path: Path, record: Record) -> None:
    """Replace a JSON file as a whole.

    Raises:
        UserError: the file cannot be written.
    """
    files.write_text(path, to_json(record, indent=2))


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Replace a file of JSON lines as a whole.

    Raises:
        UserError: the file cannot be written.
    """
    files.write_text(path, "".join(to_json(record) for record in records))


def to_json(record: Record, indent: int | None = None) -> str:
    """Return a record as JSON text that ends a line."""
    return json.dumps(record.model_dump(), indent=indent, allow_nan=False) + "\n"


def read_record(path: Path, model: type[ModelType], advice: str, outdated: str = "") -> ModelType:
    """Read a JSON file.

    Args:
        advice: what to do where the file does not hold what it should, as the end of a sentence.
        outdated: what to do with a folder of an older format, for a `VersionedRecord`.

    Raises:
        FormatError: the folder is of another format.
        DataError: the file cannot be read, or holds something else.
    """
    file = DataFile(path, advice)
    value = _parse(file.read_bytes(), file)
    if issubclass(model, VersionedRecord):
        _require_format(path.parent, model, value, outdated)
    return validate(value, model, file)


def read_records(path: Path, model: type[ModelType], advice: str) -> list[ModelType]:
    """Read a file of JSON lines; raises as `read_record` does, and names the line."""
    whole = DataFile(path, advice)
    lines = whole.read_bytes().split(b"\n")
    if lines.pop():
        raise whole.damaged("its last line is truncated")
    found = []
    for number, line in enumerate(lines, 1):
        file = DataFile(path, advice, f"line {number}: ")
        found.append(parse_record(line, model, file))
    return found


def parse_record(content: bytes, model: type[ModelType], file: DataFile) -> ModelType:
    """Return a record from JSON text that stands in a file.

    Raises:
        DataError: it is something else.
    """
    return validate(_parse(content, file), model, file)


def validate(value: Any, model: type[ModelType], file: DataFile) -> ModelType:
    """Return a parsed JSON value, or arrays by name, as a record of a file."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problem = _explain(error.errors(include_url=False)[0], value)
    raise file.damaged(problem)


def _parse(content: bytes, file: DataFile) -> Any:
    """Return a JSON value; NaN, infinity and a key that stands twice are refused."""
    try:
        return json.loads(
            content.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_to_object
        )
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text: byte {error.start}"
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:  # from the two hooks, or a number of thousands of digits
        problem = f"not JSON: {error}"
    raise file.damaged(problem)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice"
        )
    return value


def _require_format(folder: Path, model: type[VersionedRecord], value: Any, outdated: str) -> None:
    if not isinstance(value, dict) or not value.keys() & model.model_fields.keys():
        return  # nothing that any version wrote
    found = value.get("format", 1)
    if type(found) is int and found != model.FORMAT:
        what = outdated if found < model.FORMAT else "a later version wrote it; update imgcls"
        raise FormatError(
            to_printable(
                f"{folder} is {model.SUBJECT} of format {found}; this imgcls reads format"
                f" {model.FORMAT}: {what}"
            ),
            found,
        )


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
"""pydantic's kinds of mistakes, in the words of JSON."""


def _explain(problem: ErrorDetails, value: Any) -> str:
    """Return in words where a mistake is, what should stand there, and what does."""
    name = _name_place(problem["loc"], value)
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"{name} is an unknown key"
    if kind in ("too_long", "too_short"):
        most = kind == "too_long"
        limit = f"at most {context['max_length']}" if most else f"at least {context['min_length']}"
        message = f"should have {limit} items, got {context['actual_length']}"
    elif kind in _EXPECTED:
        message = f"should be {_EXPECTED[kind]}, got {_describe(given)}"
    elif kind == "value_error":
        message = str(context["error"])
    else:
        message = f"{problem['msg'].removeprefix('Input ')}, got {_describe(given)}"
    return f"{name}: {message}" if name else message


def _name_place(location: tuple[int | str, ...], value: Any) -> str:
    """Return `epochs[3].loss`; what pydantic adds about the members of a union is left out."""
    name = ""
    for step in location:
        if isinstance(value, list | tuple) and isinstance(step, int):
            name += f"[{step}]"
            value = value[step] if step < len(value) else None
        elif isinstance(value, dict):
            name += f".{step}" if name else str(step)
            value = value.get(step)
        else:
            break
    return name


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _GIVEN else f"{text[: _GIVEN - 3]}..."
