"""Rows of the table, and what they are measured on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from imgcls.train_config import Precision

Outcome = Literal["ok", "FAILED", "skipped", "-"]
"""`-` is a number without a limit."""
PRECISIONS: tuple[str, ...] = get_args(Precision)


class Row(NamedTuple):
    """A row of the table."""

    check: str
    measured: str
    expected: str
    outcome: Outcome


@dataclass(frozen=True)
class Target:
    """What the checks run on.

    Attributes:
        devices: TensorFlow's names, such as `GPU:0`.
        variables: environment variables that limit TensorFlow's memory, for running out of it.
        overrides: settings that do so.
        large_batch: images of 8x8 that do not fit then.
        images: of the data set by which speed and traffic are measured, 28x28.
    """

    devices: tuple[str, ...]
    variables: Mapping[str, str]
    overrides: tuple[str, ...]
    large_batch: int
    images: int


def decide(passed: bool) -> Outcome:
    """Return the outcome of a check with a limit."""
    return "ok" if passed else "FAILED"


def format_table(rows: Iterable[Row]) -> str:
    """Return rows as a table in Markdown."""
    lines = ["| check | measured | expected | outcome |", "|---|---|---|---|"]
    for row in rows:
        cells = (" ".join(cell.split()).replace("|", "\\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
