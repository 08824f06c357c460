"""Functions in threads: over many items, and beside the main thread. Light zone."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from imgcls import environment

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int | None = None,
    ahead: int | None = None,
) -> Generator[Result]:
    """Yield `function(item)` for each item in order, computed by threads.

    Threads help only if `function` releases the GIL, as decoding and resizing in Pillow do.

    Args:
        threads: how many; one per core unless given.
        ahead: how many results are in memory, or computed, at a time; 8 per thread unless given.
    """
    threads = threads or environment.count_cores()
    ahead = ahead or 8 * threads
    futures: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            futures.append(pool.submit(function, item))
            if len(futures) >= ahead:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()


class BackgroundThread:
    """A thread that runs one function at a time, beside the main thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None
        self._start = 0.0
        self._max_seconds = 0.0

    @property
    def max_seconds(self) -> float:
        """The longest time that a function took, or has taken so far if it still runs."""
        running = self._running is not None and not self._running.done()
        elapsed = time.monotonic() - self._start if running else 0.0
        return max(self._max_seconds, elapsed)

    def start(self, function: Callable[[], None]) -> None:
        """Run a function in the thread, after the previous one; raises as `join` does."""
        self.join()
        self._start = time.monotonic()
        self._running = self._pool.submit(self._run, function)

    def join(self) -> None:
        """Wait until the function has ended; raise its error, if it raised one, once."""
        running, self._running = self._running, None
        if running:
            running.result()

    def _run(self, function: Callable[[], None]) -> None:
        try:
            function()
        finally:
            self._max_seconds = max(self._max_seconds, time.monotonic() - self._start)
