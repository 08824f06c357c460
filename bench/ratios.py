"""What benchmarks share: measuring in alternation, and printing ratios beside their targets."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

Key = TypeVar("Key")
Ratio = tuple[str, float, str]
"""What is compared, the ratio, and its target, such as `<= 1.00`; an empty one without."""


def measure_medians(functions: Mapping[Key, Callable[[], object]], rounds: int) -> dict[Key, float]:
    """Call functions in alternation, so that other load affects all equally; return the median
    seconds of each.
    """
    seconds: dict[Key, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, run in functions.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_ratios(ratios: Iterable[Ratio]) -> None:
    """Print a line for each ratio."""
    for name, measured, target in ratios:
        print(f"{name:<92}  {measured:>8.2f}  {target}")
