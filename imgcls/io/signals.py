"""Stopping a run by a signal or its time limit. Light zone.

The run then finishes its current steps, saves a checkpoint, and ends with exit code 75.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from imgcls.durations import Duration

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""SIGHUP is sent when a terminal closes; nohup ignores it, and it stays ignored."""


class StopRequest:
    """Whether a signal or the time limit requests a stop.

    Args:
        limit: time from `started` within which the last checkpoint must be saved; None for no
            limit.
        started: start of the command, by `time.monotonic`.
        epochs: number of epochs after which to stop; None for all.

    Attributes:
        started, epochs: as given.
    """

    def __init__(
        self, limit: Duration | None = None, started: float = 0.0, epochs: int | None = None
    ) -> None:
        self.signal: signal.Signals | None = None
        self.epochs = epochs
        self._limit = limit
        self.started = started
        self._max_seconds: dict[str, float] = {}

    @property
    def reason(self) -> str | None:
        """The signal or time limit that requests a stop; None to continue."""
        if self.signal is not None:
            return self.signal.name
        # Twice the longest time until the next check: the steps of an execution, and the end of an
        # epoch with validation; and until two checkpoints are written, the last and that of the
        # stop.
        reserve = 2 * sum(self._max_seconds.values())
        if (
            self._limit is not None
            and time.monotonic() - self.started + reserve > self._limit.seconds
        ):
            return f"train.time_limit of {self._limit}"
        return None

    def record_duration(self, work: str, seconds: float) -> None:
        """Record how long a kind of work took, during which `reason` is not checked."""
        self._max_seconds[work] = max(seconds, self._max_seconds.get(work, 0.0))

    def receive(self, number: int) -> None:
        """Handle a signal; the second one ends the process."""
        if self.signal is not None:
            # No clean-up, which could hang. The last checkpoint on disk is intact.
            _write(
                f"note: {signal.Signals(number).name}: stopped at once; the last checkpoint is kept"
            )
            os._exit(75)
        self.signal = signal.Signals(number)
        _write(
            f"note: {self.signal.name}: stopping after the current steps; a second signal stops at"
            " once"
        )


def _write(line: str) -> None:
    """Write to stderr without print, which is not reentrant: the main thread may be inside it."""
    with contextlib.suppress(OSError):  # the terminal is closed
        os.write(2, f"{line}\n".encode())


def list_stop_signals() -> list[signal.Signals]:
    """Return the stop signals, without SIGHUP if it is ignored, as under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOP_SIGNALS if number != signal.SIGHUP or not ignored]


def interrupt_at_stop_signals() -> None:
    """Let each stop signal raise KeyboardInterrupt, with which a command ends with exit code 75.

    Training catches them instead (`catch_signals`). SIGINT has this handler from Python, unless it
    is ignored, as in the background of a shell.
    """
    for number in list_stop_signals():
        if number != signal.SIGINT:
            signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def catch_signals(
    limit: Duration | None, started: float, epochs: int | None
) -> Iterator[StopRequest]:
    """Catch the stop signals while the block runs; arguments as for `StopRequest`.

    Python runs handlers between two bytecode instructions, which may be many seconds apart while
    TensorFlow computes. So a thread receives the signals, through the pipe to which Python's C
    handler writes their numbers.
    """
    request = StopRequest(limit, started, epochs)
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)

    def receive_signals() -> None:
        while number := os.read(read_end, 1):
            if number[0] in STOP_SIGNALS:
                request.receive(number[0])

    previous = {number: signal.signal(number, _ignore) for number in list_stop_signals()}
    previous_pipe = signal.set_wakeup_fd(write_end)
    thread = threading.Thread(target=receive_signals, daemon=True)
    thread.start()
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_pipe)
        os.close(write_end)
        thread.join()
        os.close(read_end)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: the thread of `catch_signals` has handled the signal."""


@contextlib.contextmanager
def keep_interrupts() -> Iterator[None]:
    """Raise the KeyboardInterrupt of a signal at the end of the block if it was lost in the block.

    Python prints and forgets an exception that a finalizer or a callback raises; a handler runs in
    whatever code is running, so also in these.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    numbers = list_stop_signals()
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt


@contextlib.contextmanager
def restore_default_signals(seconds: int) -> Iterator[None]:
    """Let stop signals end the process at once while the block runs, and SIGALRM after `seconds`.

    This is for calls that wait while they hold the GIL, so that neither handlers nor threads run.
    """
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in list_stop_signals()}
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def block_signals() -> Iterator[None]:
    """Block the stop signals for good in processes started in the block.

    A terminal or a job scheduler sends signals to all processes of a job; only the main process
    should handle them.
    """
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
