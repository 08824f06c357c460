"""Starts a command of a trial in its own process, which ends with the one that started it. Light
zone.

`python -m imgcls.tuning.child PARENT CORES COMMAND...` becomes the command, under the same
process id.
CORES are numbers with commas between them, or empty for all.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: the signal that a process gets when its parent ends."""


def end_with_parent(parent: int) -> None:
    """Let the kernel send SIGTERM when the parent ends, so that a training saves its state.

    Other systems than Linux have no such signal: there, a training whose tuner was killed goes on
    to its end, and the next command waits for it.

    Args:
        parent: the process id of the parent, which may have ended before.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def start(arguments: Sequence[str]) -> None:
    """Become the command, on its cores."""
    parent, cores, *command = arguments
    end_with_parent(int(parent))
    if cores and hasattr(os, "sched_setaffinity"):  # macOS has no such thing
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    os.execv(command[0], command)


if __name__ == "__main__":
    start(sys.argv[1:])
