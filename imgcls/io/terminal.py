"""Notes and progress on stderr while a command runs. Light zone.

stdout is for results only. Progress is a rich progress bar if stderr is a terminal; otherwise only
plain lines are printed, so that logs stay readable.
"""

import contextlib
import contextvars
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from imgcls.errors import DataError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

Item = TypeVar("Item")

IMAGES = "images"
"""The unit of a progress bar of images."""

_quiet = contextvars.ContextVar("quiet", default=False)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Print neither notes nor progress in the block, for example on workers other than rank 0."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def note(message: str) -> None:
    """Print something that the user should know, as one plain line."""
    print_line(f"note: {message}")


@contextlib.contextmanager
def note_unusable() -> Iterator[None]:
    """Suppress an error in the block, such as a damaged file, and print it as a note."""
    try:
        yield
    except DataError as error:
        note(f"not used: {error}")


def print_line(message: str) -> None:
    """Print one plain line of progress, such as an epoch's numbers."""
    if not _quiet.get():
        with contextlib.suppress(OSError):  # the terminal is closed; the work goes on
            print(to_printable_text(message), file=sys.stderr, flush=True)


def to_printable(name: str) -> str:
    """Escape line breaks, control characters and bytes that are not UTF-8 in a name."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def to_printable_text(text: str) -> str:
    """Escape what `to_printable` does, but line breaks and tabs: the one way of text to a terminal.

    Names in data, experiments, status files and answers of servers may hold sequences that change
    the terminal, or characters that reverse the direction of writing (Boucher and Anderson, 2023,
    "Trojan Source").
    """
    return "".join(each if each in "\n\t" else to_printable(each) for each in text)


def format_some(items: Sequence[str], limit: int = 10) -> str:
    """Return the first items on one line, and how many more there are: "a, b and 3 more"."""
    return " ".join([", ".join(items[:limit]), *list_rest(len(items), limit)])


def format_lines(lines: Sequence[str], limit: int = 20) -> str:
    """Return the first lines as an indented block, and how many more there are: "  and 3 more"."""
    return "\n".join(f"  {line}" for line in [*lines[:limit], *list_rest(len(lines), limit)])


def list_rest(count: int, limit: int) -> list[str]:
    """Return what follows the first items of a list: "and 3 more", or nothing."""
    return [f"and {count - limit:,} more"] if count > limit else []


def is_terminal() -> bool:
    """Tell whether stderr is a terminal and output is not silenced."""
    return sys.stderr.isatty() and not _quiet.get()


def track(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """Yield the items while showing a progress bar, if stderr is a terminal."""
    with show_bar(total, description) as advance:
        for item in items:
            yield item
            advance(1)


@contextlib.contextmanager
def show_bar(
    total: int | None, description: str, unit: str | None = None
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with count and time left, if stderr is a terminal.

    Yields a function that advances the bar by a number of items.

    Args:
        total: number of items; None if unknown.
        unit: what the items are, to show how many are done per second; None not to.
    """
    if not is_terminal():
        yield lambda count: None
        return
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    speed = [_make_speed_column(unit)] if unit else []
    with _make_bar(MofNCompleteColumn(), *speed, TimeElapsedColumn()) as shown:
        task = shown.add_task(description, total=total)
        yield lambda count: shown.advance(task, count)


@contextlib.contextmanager
def show_download(url: str, size: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Print a note about a download, and show its progress in bytes if stderr is a terminal.

    Yields a function that advances the bar by a number of bytes.

    Args:
        size: number of bytes that were downloaded before.
        total: size of the file in bytes; None if unknown.
    """
    total_size = "" if total is None else f" ({total / 1e6:.1f} MB)"
    note(
        f"downloading {url}{total_size}"
        + (f", continuing after the first {size / 1e6:.1f} MB" if size else "")
    )
    if not is_terminal():
        yield lambda count: None
        return
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _make_bar(DownloadColumn(), TransferSpeedColumn()) as shown:
        task = shown.add_task(to_printable(url.rpartition("/")[2]), total=total, completed=size)
        yield lambda count: shown.advance(task, count)


def _make_speed_column(unit: str) -> "ProgressColumn":
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class SpeedColumn(ProgressColumn):
        """How many items are done per second."""

        def render(self, task: Task) -> Text:
            """Return the speed; nothing before it is known."""
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "")

    return SpeedColumn()


def _make_bar(*measures: "ProgressColumn") -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *measures,
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class TrainingProgress:
    """The progress of training: a line for each epoch, and a bar if stderr is a terminal."""

    def __init__(self, steps: int):
        self._bar = _make_training_bar() if is_terminal() else None
        if self._bar:
            self._task = self._bar.add_task("train", total=steps, rate="")

    @contextlib.contextmanager
    def start_at(self, step: int) -> Iterator[None]:
        """Show the bar while the block runs, starting at a step."""
        if self._bar is None:
            yield
            return
        self._bar.reset(self._task, completed=step)
        with self._bar:
            yield

    def advance(
        self, steps: int, epoch: str, images_per_second: float, loss: float, accuracy: float
    ) -> None:
        """Advance the bar by some steps, and show the rate, and the loss and accuracy of the epoch
        so far.
        """
        if self._bar:
            self._bar.update(
                self._task,
                advance=steps,
                description=f"epoch {epoch}",
                rate=f"loss {loss:.4f}  accuracy {accuracy:.4f}  {images_per_second:,.0f} images/s",
            )

    def print_epoch(self, text: str) -> None:
        """Print the numbers of an epoch, above the bar."""
        if self._bar:
            self._bar.console.print(to_printable_text(text), highlight=False)
        else:
            print_line(text)


def _make_training_bar() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
