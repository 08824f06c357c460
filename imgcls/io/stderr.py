"""Redirecting what libraries in C++ print. Light zone."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def redirect_stderr(target: IO[bytes]) -> Iterator[None]:
    """Redirect stderr to a file while the block runs.

    The file descriptor is redirected, since C++ code does not use Python's `sys.stderr`.
    """
    stderr = os.dup(2)
    os.dup2(target.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
