"""Walking through folders in an order that is the same on every file system. Light zone."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SYSTEM_FOLDERS = (
    "@eaDir",  # Synology: thumbnails, with the names of the photos
    "@Recycle",
    "@Recently-Snapshot",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "RECYCLER",
    "System Volume Information",
    "Network Trash Folder",
    "Temporary Items",
    "lost+found",
    "__MACOSX",  # zip files made on a Mac
    "__pycache__",
)
"""Folders that systems and network drives make for themselves, beside those with a leading dot."""


def is_shown(name: str) -> bool:
    """Tell whether a folder of this name is the user's own, and not hidden or of the system."""
    return not name.startswith(".") and name not in SYSTEM_FOLDERS


def walk(
    folder: Path, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[Path, str | None]]:
    """Yield every file below a folder, sorted by the bytes of its path.

    A folder that cannot be listed or is a loop has a problem, which is yielded with it. Symbolic
    links are followed, since large data sets are often linked together. Folders that are hidden or
    made by the system count as files.

    Args:
        above: the identities of folders that a link must not lead back to.
    """
    waiting = [(folder, "", True, above)]
    while waiting:  # the next one is the last
        parent, name, is_folder, above = waiting.pop()
        path = parent / name
        if not is_folder:
            yield path, None
            continue
        try:
            identity = get_identity(path)
            with os.scandir(path) as entries:
                children = [(entry.name, _is_searched(entry)) for entry in entries]
        except OSError as error:
            yield path, f"cannot be listed: {error.strerror}"
            continue
        if identity in above:
            yield path, "a symbolic link to a folder above it"
            continue
        # The path of each file in a folder continues with a slash.
        children.sort(key=lambda child: os.fsencode(child[0]) + b"/" * child[1], reverse=True)
        # Names, not paths: a folder may have millions.
        below = above | {identity}
        waiting += [(path, *child, below) for child in children]


def _is_searched(entry: "os.DirEntry[str]") -> bool:
    with contextlib.suppress(OSError):  # a link that leads to itself
        return is_shown(entry.name) and entry.is_dir()
    return False


def get_identity(folder: Path) -> tuple[int, int]:
    """Return what two paths to the same folder have in common."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def is_dangling(path: Path) -> bool:
    """Tell whether a path is a link to nothing, such as to a disk that is not mounted."""
    return path.is_symlink() and not path.exists()


def describe_dangling(path: Path) -> str:
    """Return the problem of a link to nothing."""
    return f"a link to {os.readlink(path)}, which does not exist"


def get_kind(path: Path) -> str:
    """Return what an ignored file is counted as."""
    if path.name.startswith("."):
        return "hidden"
    if path.name in SYSTEM_FOLDERS:
        return f"{path.name}/"
    return path.suffix.lower() or "without extension"


def format_kinds(counts: Counter[str]) -> str:
    """Return the number of files of each kind on one line."""
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
