"""Signals that ask a run to stop: it finishes its steps, saves and ends with status 75. Light zone."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether a signal has asked to stop, and which."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            # The user has asked twice: no clean-up that could hang. The last checkpoint on disk is whole.
            os._exit(75)
        self.signal = signal.Signals(number)
        # Not print: a signal may arrive in the middle of one.
        os.write(2, f"note: {self.signal.name}: stopping after the present steps; a second signal stops at once\n".encode())


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Catch the stopping signals while the block runs."""
    request = StopRequest()
    previous = {number: signal.signal(number, request) for number in STOPPING}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
