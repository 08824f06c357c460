"""Writing so that nothing is lost: to a temporary name, synced, renamed. Light zone."""

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout, lock_descriptor

from imgcls.errors import UserError
from imgcls.io import terminal

_ATTEMPTS = 100


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
        refusals = (
            *(errno.EACCES, errno.EPERM, errno.EROFS),
            *(errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
        )
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
    """Hold the lock file `path`, made with its folder, waiting for whoever holds it; the system
    releases it when the process ends, however it ends.

    Raises:
        UserError: the folder cannot be written.
    """

    def require_in_place(descriptor: int) -> None:
        # filelock notices a lock file that was removed, but not one that was moved away with its
        # folder, as a draft is that becomes a store: such a lock keeps nobody out.
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    # Without `flock`, filelock would by itself turn to a file that a killed process leaves locked.
    lock = FileLock(path, fallback_to_soft=False, on_acquired=require_in_place)
    with explain_errors(path):
        try:
            _acquire(lock, blocking=False)
        except Timeout:
            terminal.note(f"another process is working in {path.parent}; waiting for it")
            _acquire(lock, blocking=True)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, blocking: bool) -> None:
    """Acquire a lock, though whoever held it may remove its folder, or move it away, meanwhile."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            lock.acquire(blocking=blocking)
            return
    lock.acquire(blocking=blocking)


def is_locked(path: Path) -> bool:
    """Tell whether a living process holds a lock file."""
    try:
        with path.open("rb+") as stream:
            return not lock_descriptor(stream.fileno(), blocking=False)
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
