"""What a person sees while a command works: notes and progress, always on stderr. Light zone.

stdout carries results alone. On a terminal progress is a rich bar; elsewhere nothing moves, so that
logs hold plain lines.
"""

import contextlib
import contextvars
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


_quiet = contextvars.ContextVar("quiet", default=False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show neither notes nor progress while the block runs: of several processes that work
    together, one speaks.
    """
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def note(message: str) -> None:
    """Say something that the user should know, as one plain line."""
    print_line(f"note: {message}")


def print_line(message: str) -> None:
    """Print one plain line of progress, such as an epoch's numbers."""
    if not _quiet.get():
        print(message, file=sys.stderr, flush=True)


def to_printable(name: str) -> str:
    """Return a name as one line that a terminal shows and does not obey: line breaks, escapes and
    bytes that are no UTF-8 are spelt out.
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def is_terminal() -> bool:
    """Tell whether a person watches stderr, and something is shown."""
    return sys.stderr.isatty() and not _quiet.get()


def track(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """Yield the items, behind a progress bar with count and time left where stderr is a
    terminal.
    """
    with show_bar(total, description) as advance:
        for item in items:
            yield item
            advance(1)


@contextlib.contextmanager
def show_bar(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with count and time left, where stderr is a terminal; yield what moves it
    on by so many items.
    """
    if not is_terminal():
        yield lambda count: None
        return
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    with _make_bar(MofNCompleteColumn(), TimeElapsedColumn()) as shown:
        task = shown.add_task(description, total=total)
        yield lambda count: shown.advance(task, count)


@contextlib.contextmanager
def show_download(url: str, size: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how a download proceeds, in bytes and bytes/s where stderr is a terminal; yield what
    moves it on by so many bytes.

    Args:
        size: bytes that are here already.
        total: bytes of the whole file, where they are known.
    """
    known = "" if total is None else f" ({total / 1e6:.1f} MB)"
    note(
        f"downloading {url}{known}"
        + (f", going on after {size / 1e6:.1f} MB that are here" if size else "")
    )
    if not is_terminal():
        yield lambda count: None
        return
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _make_bar(DownloadColumn(), TransferSpeedColumn()) as shown:
        task = shown.add_task(url.rpartition("/")[2], total=total, completed=size)
        yield lambda count: shown.advance(task, count)


def _make_bar(*measures: "object") -> "object":
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
    """The progress of a training run: a bar with the time left and images/s on a terminal, and one
    plain line an epoch everywhere.
    """

    def __init__(self, steps: int):
        self._bar = _make_training_bar() if is_terminal() else None
        self._task = self._bar.add_task("train", total=steps, rate="") if self._bar else None

    @contextlib.contextmanager
    def start_at(self, step: int) -> Iterator[None]:
        """Show the bar while the block runs; `step` steps are done already."""
        if self._bar is None:
            yield
            return
        self._bar.reset(self._task, completed=step)
        with self._bar:
            yield

    def advance(self, steps: int, epoch: str, images_per_second: float) -> None:
        """Move the bar by some steps."""
        if self._bar:
            self._bar.update(
                self._task,
                advance=steps,
                description=f"epoch {epoch}",
                rate=f"{images_per_second:,.0f} images/s",
            )

    def epoch(self, text: str) -> None:
        """Print an epoch's numbers."""
        if self._bar:
            self._bar.console.print(text, highlight=False)
        else:
            print_line(text)


def _make_training_bar() -> "object":
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
