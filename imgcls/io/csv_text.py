"""CSV files as spreadsheets write them: byte order marks, UTF-16, semicolons, tabs, `sep=` lines.

Light zone.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Sequence

_DELIMITERS = (",", ";", "\t", "|")
AddMistake = Callable[[int, str], None]
"""Takes a mistake: its line, and what is wrong."""


def decode(data: bytes, add_mistake: AddMistake) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark, without the mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            add_mistake(1, f"is not UTF-16, as its byte order mark says: {error.reason}")
            return ""
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            add_mistake(
                number,
                f"byte {error.start + 1} is not UTF-8: {line[error.start : error.start + 1]!r};"
                " save the file as UTF-8",
            )
    return data.decode("utf-8-sig", "replace")


def iterate_records(
    text: str, delimiter: str, required: Sequence[str], add_mistake: AddMistake
) -> Iterator[tuple[int, list[str], str]]:
    """Yield the line, the fields and the delimiter of each record that is not empty.

    The first record is the header, whose names lose spaces at their ends; empty columns at the end,
    which have no name, are left out.

    Args:
        delimiter: the usual one; another is used if only so the header has the required names.
        required: names in the header.
    """
    lines = io.StringIO(text, newline="")
    skipped = 0
    first = text.split("\n", 1)[0].strip()
    if first.lower().startswith("sep=") and len(first) == 5:
        lines.readline()
        delimiter, skipped = first[4], 1
    else:
        delimiter = _find_delimiter(first, delimiter, required)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line, width, empty = 1 + skipped, 0, 0
    try:
        for record in reader:
            if not width and record:
                record = [name.strip() for name in record]
                width = len(record)
                while record and not record[-1]:
                    record.pop()
                empty = width - len(record)
                yield line, record, delimiter
            elif width and any(record):
                while empty and len(record) > width - empty and not record[-1]:
                    record.pop()
                yield line, record, delimiter
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        add_mistake(line, f"is not CSV: {error}")


def parse_number(text: str, delimiter: str) -> float | str:
    """Return the number that a field holds, or the field; with a decimal comma if that is free."""
    try:
        return float(text.replace(",", ".") if delimiter != "," else text)
    except ValueError:
        return text


def _find_delimiter(header: str, usual: str, required: Sequence[str]) -> str:
    for delimiter in (usual, *_DELIMITERS):
        names = {name.strip(' "') for name in header.split(delimiter)}
        if names.issuperset(required):
            return delimiter
    return usual
