"""What may be concluded from a difference. Light zone.

"Better" is a claim about how models are trained, not only about two models: it needs an interval
over images and an interval over runs, and neither may include 0. With one run on a side, the most
that is said is that a number is higher on these images.
"""

from typing import Literal

from imgcls.evaluation.intervals import Interval
from imgcls.metrics import Direction

Conclusion = Literal["identical", "no_difference_shown", "higher", "lower", "better", "worse"]


def conclude(better: Direction, images: Interval | None, runs: Interval | None) -> Conclusion:
    """Return what may be said of new - old.

    Args:
        better: the better direction of the metric.
        images: the interval of the difference over images; None if it is undefined.
        runs: the interval of the difference over seeds or folds; None if there is no spread.
    """
    side = find_side(images)
    if not side:
        return "no_difference_shown"
    if find_side(runs) != side:
        return "higher" if side > 0 else "lower"
    return "better" if (side > 0) == (better == "higher") else "worse"


def find_side(interval: Interval | None) -> int:
    """Return 1 or -1 if an interval is wholly above or below 0; else 0."""
    if interval is None:
        return 0
    return 1 if interval[0] > 0 else -1 if interval[1] < 0 else 0
