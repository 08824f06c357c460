"""Noticing that a store's files are changed while they are in use. Light zone.

Comparing content takes seconds per GB, so what is compared is what any change of a file changes:
its size, its modification time, and its inode, which tells files apart that have the same path.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imgcls.errors import DataError

ADVICE = "run `imgcls prepare` again, and then the same command"


@dataclass(frozen=True)
class FileState:
    """Size in bytes, modification time in ns since 1970, and inode of a file."""

    size: int
    modified: int
    inode: int


class ChangeDetector:
    """Compares files with their state at the start, which must be recorded before they are read.

    If `find_change` finds nothing, then all that was read from them before is what they held at the
    start, whoever read it, and whenever.
    """

    def __init__(self, paths: Iterable[Path]):
        self._states = {path: _read_state(path) for path in paths}

    def find_change(self) -> str | None:
        """Return which file has changed, how, and what to do; None if all are the same."""
        for path, before in self._states.items():
            after = _read_state(path)
            if after != before:
                return f"{path} {_describe(before, after)} while it was in use; {ADVICE}"
        return None

    def require_unchanged(self) -> None:
        """Check that no file has changed.

        Raises:
            DataError: one has.
        """
        if change := self.find_change():
            raise DataError(change)

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Check at the end of the block that no file has changed.

        An error of the block is replaced, since changed data can cause nearly any.

        Raises:
            DataError: a file has changed.
        """
        try:
            yield
        except Exception:
            self.require_unchanged()
            raise
        self.require_unchanged()


def _read_state(path: Path) -> FileState | None:
    """Return the state of a file; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return FileState(status.st_size, status.st_mtime_ns, status.st_ino)


def _describe(before: FileState | None, after: FileState | None) -> str:
    """Return how a file changed, as the middle of a sentence."""
    if before is None or after is None:
        return "was removed" if after is None else "appeared"
    if after.size != before.size:
        return f"changed from {before.size:,} to {after.size:,} bytes"
    if after.inode != before.inode:
        return "was replaced by another file"
    return "was written to"
