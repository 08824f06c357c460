"""Starting this command again, in a new process with the same id. Light zone."""

import os
import sys
import time

STARTED = "IMGCLS_STARTED"
"""The environment variable with the process id and the time of the command's first start."""


def mark_start() -> None:
    """Record when the command started, unless this process was started again."""
    if _read_start() is None:
        os.environ[STARTED] = f"{os.getpid()} {time.monotonic()}"


def get_start() -> float:
    """Return when the command first started, by `time.monotonic`; now for a call from Python."""
    start = _read_start()
    return time.monotonic() if start is None else start


def replace_process() -> None:
    """Replace this process by a new one of the same command line; files without locks close."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _read_start() -> float | None:
    """Return the time in the variable; None if another process, such as the parent, set it."""
    process, _, start = os.environ.get(STARTED, "").partition(" ")
    return float(start) if process == str(os.getpid()) else None
