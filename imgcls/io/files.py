"""Writing so that nothing is lost: to a temporary name, synced, renamed. Light zone."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from imgcls.errors import UserError
from imgcls.io import terminal


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for binary writing; rename it to `path` once the block
    ends without an error.

    Whoever reads `path` sees the old content or the new, never a part, also after a power cut.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with explain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


@contextlib.contextmanager
def explain_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into a `UserError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"the disk is full: cannot write {path}; free some space and run the same command"
                " again"
            ) from None
        refusals = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
        if error.errno in refusals:
            raise UserError(
                f"cannot write {path}: {error.strerror}; choose a folder that you may write"
            ) from None
        if error.errno == errno.EISDIR:
            raise UserError(
                f"cannot write {path}: it is a folder; remove it, and run the same command again"
            ) from None
        raise


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever holds it; the system releases it when the
    process ends, however it ends.

    Raises:
        UserError: the folder cannot be written.
    """
    descriptor = _opened_lock(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            terminal.note(f"another process works in {path.parent}; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        while not _is_at(descriptor, path):  # who held it removed the folder, or moved it away
            useless, descriptor = descriptor, _opened_lock(path)
            os.close(useless)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Tell whether a living process holds a lock file."""
    try:
        with path.open("rb+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _opened_lock(path: Path) -> int:
    """Open a lock file, made with its folder where they do not exist."""
    with explain_errors(path):
        for _ in range(100):
            with contextlib.suppress(
                FileNotFoundError, FileExistsError
            ):  # who held the lock removed the folder in between
                return _made_and_opened(path)
        return _made_and_opened(path)


def _made_and_opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is the one that a path names."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace a text file as a whole."""
    with replace_file(path) as stream:
        stream.write(text.encode())


def compute_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
