"""What asks a run to stop, a signal or its time limit: it finishes its steps, saves and ends with
exit code 75. Light zone.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from imgcls.durations import Duration

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether a signal or the time limit asks to stop.

    Args:
        limit: the time from `started` by which the state must be saved; None for no limit.
        started: a time of `time.monotonic`.
        epochs: after how many epochs to stop; None for all.
    """

    def __init__(
        self, limit: Duration | None = None, started: float = 0.0, epochs: int | None = None
    ) -> None:
        self.signal: signal.Signals | None = None
        self.epochs = epochs
        self._limit = limit
        self._started = started
        self._longest: dict[str, float] = {}

    @property
    def reason(self) -> str | None:
        """What asks to stop, in words; None to go on."""
        if self.signal is not None:
            return self.signal.name
        # Twice what can come before the next look: the steps of a call, and an epoch's end with its
        # validation and saving.
        reserve = 2 * sum(self._longest.values())
        if (
            self._limit is not None
            and time.monotonic() - self._started + reserve > self._limit.seconds
        ):
            return f"train.time_limit of {self._limit}"
        return None

    def record_duration(self, work: str, seconds: float) -> None:
        """Remember how long a kind of work took that lies between two looks at `reason`."""
        self._longest[work] = max(seconds, self._longest.get(work, 0.0))

    def receive(self, number: int) -> None:
        """Take note of a signal; the second one ends the process."""
        if self.signal is not None:
            # The user has asked twice: no clean-up that could hang. The last checkpoint on disk is
            # whole.
            os._exit(75)
        self.signal = signal.Signals(number)
        # Not print: the main thread may be in the middle of one.
        os.write(
            2,
            f"note: {self.signal.name}: stopping after the present steps; a second signal stops at"
            " once\n".encode(),
        )


@contextlib.contextmanager
def catch_signals(
    limit: Duration | None, started: float, epochs: int | None
) -> Iterator[StopRequest]:
    """Catch the stopping signals while the block runs; arguments as in `StopRequest`.

    Python runs handlers between two of its own instructions, which may be many seconds apart while
    TensorFlow works. So a thread hears the signals, from the pipe into which Python's C handler
    writes their numbers.
    """
    request = StopRequest(limit, started, epochs)
    heard, written = os.pipe()
    os.set_blocking(written, False)

    def listen() -> None:
        while number := os.read(heard, 1):
            if number[0] in STOPPING:
                request.receive(number[0])

    previous = {number: signal.signal(number, _ignore) for number in STOPPING}
    previous_pipe = signal.set_wakeup_fd(written)
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_pipe)
        os.close(written)
        thread.join()
        os.close(heard)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Handle a signal that a thread has heard already."""


@contextlib.contextmanager
def restore_default_signals(seconds: int) -> Iterator[None]:
    """Let a stopping signal end the process at once while the block runs, and SIGALRM after so many
    seconds.

    This is for calls that wait while they hold Python's lock, where no handler and no thread could
    run.
    """
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in STOPPING}
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def block_signals() -> Iterator[None]:
    """Keep stopping signals for ever from a process that is started in the block: a terminal or a
    queue sends them to a whole job.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
