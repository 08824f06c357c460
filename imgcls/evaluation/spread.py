"""The spread of a number over the runs of a family: mean, std and interval of the mean. Light zone.

The interval is Student's t interval, which supposes that the runs are independent and about normal.
Runs by seed are independent, apart from the data that they share. Runs by fold share training
images, so that their interval is somewhat too narrow; no unbiased estimate exists (Bengio and
Grandvalet, 2004).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from imgcls.evaluation.intervals import Interval
from imgcls.io.records import Record
from imgcls.metrics import Number


class Spread(Record):
    """A number over the runs of a family."""

    mean: Number
    """The mean over the runs that define the number; null if none does."""
    std: Number
    """The standard deviation between runs, with n - 1; null for fewer than two runs."""
    count: Annotated[int, Field(ge=0)]
    """The number of runs that define the number, n."""
    interval: Interval | None
    """Student's t interval of the mean, [low, high]; null for fewer than two runs."""
    values: list[Number]
    """The number of each run, in the order of the family; null if undefined."""


def compute_spread(values: Sequence[Number], confidence: float) -> Spread:
    """Return the spread of a number over runs.

    Args:
        values: of each run; None if undefined.
        confidence: of the interval, 0..1.
    """
    import numpy

    defined = numpy.array([value for value in values if value is not None], numpy.float64)
    count = len(defined)
    mean = float(defined.mean()) if count else None
    std = float(defined.std(ddof=1)) if count > 1 else None
    interval = None
    if mean is not None and std is not None:
        half = compute_t_quantile(count - 1, confidence) * std / count**0.5
        interval = (mean - half, mean + half)
    return Spread(mean=mean, std=std, count=count, interval=interval, values=list(values))


def compute_t_quantile(degrees: float, confidence: float) -> float:
    """Return the quantile of Student's distribution that encloses `confidence` on both sides.

    Args:
        degrees: of freedom.
    """
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, degrees))


def compute_spreads(rows: Sequence[Mapping[str, Number]], confidence: float) -> dict[str, Spread]:
    """Return the spread of each number that the runs have, by name.

    Args:
        rows: the numbers of each run, by name; all rows have the same names.
    """
    return {name: compute_spread([row[name] for row in rows], confidence) for name in rows[0]}


def make_spread_rows(spreads: Mapping[str, Spread]) -> list[dict[str, Any]]:
    """Return a table of spreads, for `format_table`."""
    return [
        {
            "metric": name,
            "mean": spread.mean,
            "std": spread.std,
            "n": spread.count,
            "interval_of_mean": spread.interval,
        }
        for name, spread in spreads.items()
    ]
