"""Writing files atomically, and locking them. Light zone."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout, lock_descriptor

from imgcls.errors import UserError
from imgcls.io import terminal

_ATTEMPTS = 100
DISK_IS_FULL = "the disk is full"
"""What the message about a full disk begins with."""


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file for binary writing; rename it to `path` if the block ends normally.

    Readers of `path` see the old content or the new, never a mixture, even after a power failure.

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
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill; rename it to `path` if the block ends normally.

    A folder that was at `path` before is removed. If the block fails, it stays, and the temporary
    one is removed; a process that is killed leaves it, named `.<name>.<random>.tmp`.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    temporary, old = (path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp") for _ in range(2))
    with explain_errors(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            _sync_tree(temporary)
            if os.path.lexists(path):
                os.replace(path, old)
            os.replace(temporary, path)
        finally:
            for folder in (temporary, old):
                shutil.rmtree(folder, ignore_errors=True)
        sync_folder(path.parent)


def _sync_tree(folder: Path) -> None:
    """Make all files below a folder durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with (Path(parent) / name).open("rb") as stream:
                os.fsync(stream.fileno())
        sync_folder(Path(parent))


@contextlib.contextmanager
def explain_errors(path: Path) -> Iterator[None]:
    """Convert errors of writing a file to a `UserError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{DISK_IS_FULL}: cannot write {path}; free some space and run the same command"
                " again"
            ) from None
        wrong_path = (
            *(errno.EACCES, errno.EPERM, errno.EROFS),
            *(errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG),
            errno.ENOENT,  # such as in /proc, where nothing can be created
        )
        if error.errno in wrong_path:
            raise UserError(
                f"cannot write {path}: {error.strerror}; choose a folder that you may write to"
            ) from None
        if error.errno == errno.EISDIR:
            raise UserError(
                f"cannot write {path}: it is a folder; remove it, and run the same command again"
            ) from None
        raise


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a lock file, after waiting for other processes that hold it.

    The file and its folder are created if necessary. The operating system releases the lock when
    the process ends in any way.

    Raises:
        UserError: the folder cannot be written.
    """

    def check_not_moved(descriptor: int) -> None:
        # filelock notices if the lock file was removed, but not if its folder was renamed, as when
        # a draft becomes a store: the lock would then exclude nobody.
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    # Without `flock`, filelock would fall back to a lock that survives a killed process.
    lock = FileLock(path, fallback_to_soft=False, on_acquired=check_not_moved)
    with explain_errors(path):
        try:
            _acquire(lock, blocking=False)
        except Timeout:
            terminal.note(f"waiting for another process that is using {path.parent}")
            _acquire(lock, blocking=True)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, blocking: bool) -> None:
    """Acquire a lock; try again if its last holder removed or renamed the folder."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            lock.acquire(blocking=blocking)
            return
    lock.acquire(blocking=blocking)


def is_locked(path: Path) -> bool:
    """Tell whether a running process holds a lock file."""
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
    """Write a text file atomically, in UTF-8."""
    with replace_file(path) as stream:
        stream.write(text.encode())


def compute_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
