"""The images to predict: files, folders, patterns, and lists of paths on stdin. Light zone."""

import glob
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from imgcls.errors import UserError
from imgcls.image.decode import EXTENSIONS
from imgcls.io import terminal
from imgcls.io.folders import describe_dangling, format_kinds, get_kind, is_dangling, walk

STDIN = "-"
"""The argument that stands for the paths on stdin."""
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Input:
    """An image to predict.

    Attributes:
        path: as it was given, or found in a folder that was given.
        problem: why it cannot be read, if that is known before it is opened.
    """

    path: str
    problem: str | None = None


@dataclass
class Inputs:
    """The images that arguments of the command line mean, in their order.

    A file is an image, whatever it is called. A folder stands for the images below it, sorted by
    the bytes of their paths; a pattern such as `photos/*.jpg`, if no file has this name, for the
    files and folders that match it, or with `**` for the files alone. What does not exist becomes
    an `Input` with a problem.

    Attributes:
        arguments: paths, patterns, and `STDIN`.
        stdin: the list of paths that `STDIN` stands for; empty unless given.
        null: whether paths there end in NUL instead of a line end.
        ignored: the number of files in folders that are not images, of each kind, so far.
    """

    arguments: Sequence[str]
    stdin: IO[bytes] = field(default_factory=io.BytesIO)
    null: bool = False
    ignored: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Input]:
        for argument in self.arguments:
            if argument == STDIN:
                yield from self._expand_stdin()
            elif glob.has_magic(argument) and not os.path.lexists(argument):
                yield from self._expand_pattern(argument)
            else:
                yield from self._expand_path(argument)

    def count(self) -> int | None:
        """Return how many images there are, for showing progress; None with `STDIN`, which can be
        read only once.
        """
        if STDIN in self.arguments:
            return None
        return sum(1 for _ in Inputs(self.arguments))

    def describe_ignored(self) -> str | None:
        """Return a sentence on the files that were not counted as images; None without any."""
        total = self.ignored.total()
        if not total:
            return None
        return (
            f"ignored {total:,} {'files' if total > 1 else 'file'} in folders, whose"
            f" {'names do' if total > 1 else 'name does'} not end in {', '.join(EXTENSIONS)}:"
            f" {format_kinds(self.ignored)}"
        )

    def _expand_stdin(self) -> Iterator[Input]:
        found = False
        for name in divide_stream(self.stdin, b"\0" if self.null else b"\n"):
            found = True
            yield from self._expand_path(os.fsdecode(name))
        if not found:
            raise UserError(
                f"stdin has no paths; give a list with one path a line for {STDIN}, such as: find"
                " photos -name '*.jpg' | imgcls predict RUN -"
            )

    def _expand_pattern(self, pattern: str) -> Iterator[Input]:
        found = sorted(glob.iglob(pattern, recursive=True), key=os.fsencode)
        if "**" in pattern:  # it has searched folders itself; their files would come twice
            found = [path for path in found if not os.path.isdir(path)]
        for path in found:
            yield from self._expand_path(path)
        if not found:
            yield Input(pattern, "no file matches this pattern")

    def _expand_path(self, path: str) -> Iterator[Input]:
        if os.path.isdir(path):
            yield from self._expand_folder(path)
        else:
            yield Input(path)

    def _expand_folder(self, folder: str) -> Iterator[Input]:
        found = False
        for path, problem in walk(Path(folder)):
            if problem or (is_dangling(path) and not path.name.startswith(".")):
                found = True
                yield Input(str(path), problem or describe_dangling(path))
            elif path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
                found = True
                yield Input(str(path))
            else:
                self.ignored[get_kind(path)] += 1
        if not found:
            yield Input(folder, f"a folder without images ({', '.join(EXTENSIONS)})")


def divide_stream(stream: IO[bytes], separator: bytes) -> Iterator[bytes]:
    """Yield the names between separators; empty ones are left out."""
    rest = b""
    while block := stream.read(_BLOCK):
        *names, rest = (rest + block).split(separator)
        yield from filter(None, names)
    if rest:
        yield rest


def note_ignored(inputs: Inputs) -> None:
    """Print a note on the files that were not counted as images."""
    if sentence := inputs.describe_ignored():
        terminal.note(sentence)
