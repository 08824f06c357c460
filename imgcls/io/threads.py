"""Mapping a function over items in threads. Light zone."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from imgcls import environment

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `function(item)` for each item in order, computed by one thread per core.

    At most 8 results per thread are in memory. Threads help only if `function` releases the GIL, as
    decoding and resizing in Pillow do.
    """
    threads = environment.count_cores()
    futures: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            futures.append(pool.submit(function, item))
            if len(futures) >= 8 * threads:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
