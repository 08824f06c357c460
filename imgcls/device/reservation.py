"""Which GPUs imgcls's processes on this machine use. Light zone.

Each GPU has a file in a folder that all users share, which a process locks (flock) until it ends,
however it ends. Who asks for `idle` locks the file for itself alone; who names its GPU shares it.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from imgcls.device.driver import Gpu
from imgcls.device.visible import Slice

FOLDER = Path("/tmp/imgcls-gpus")  # not TMPDIR, which differs between users and jobs


def share(gpus: Sequence[Gpu | Slice]) -> None:
    """Mark GPUs as used by this process, which others may do, too.

    One that another process has for itself stays unmarked, and so do all if the folder cannot be
    written: the user named these GPUs, so the process uses them in any case.
    """
    for gpu in gpus:
        with contextlib.suppress(OSError):
            _lock(gpu, fcntl.LOCK_SH)


def reserve_first(gpus: Sequence[Gpu | Slice]) -> Gpu | Slice | None:
    """Reserve the first of the GPUs that no process uses; None if all are in use.

    Raises:
        OSError: the folder cannot be written.
    """
    for gpu in gpus:
        with contextlib.suppress(BlockingIOError):
            _lock(gpu, fcntl.LOCK_EX)
            return gpu
    return None


def read_user(gpu: Gpu | Slice) -> str:
    """Return the process that locked a GPU last, such as "process 12: imgcls train a.yaml"."""
    try:
        return _get_path(gpu).read_text(errors="replace") or "a process that is starting"
    except OSError:
        return "an unknown process"


def _lock(gpu: Gpu | Slice, kind: int) -> None:
    """Lock the file of a GPU, and write this process into it.

    The file stays open, so it is locked until the process ends.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: the file cannot be opened or written.
    """
    path = _get_path(gpu)
    if not FOLDER.exists():
        FOLDER.mkdir(exist_ok=True)
        FOLDER.chmod(0o1777)
    # Linux may forbid O_CREAT for an existing file of another user there (fs.protected_regular).
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o666))
        path.chmod(0o666)
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    os.ftruncate(file, 0)
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    os.write(file, f"process {os.getpid()}: {command}".encode(errors="replace"))


def _get_path(gpu: Gpu | Slice) -> Path:
    return FOLDER / f"{gpu.uuid.replace('/', '-')}.lock"
