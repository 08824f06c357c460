"""Intervals of the difference between families, from the spread of their runs. Light zone.

The unit is a run, not an image: a difference between two families counts only if it is large beside
the differences between runs of one family, which are trained in the same way.
"""

import statistics
from collections.abc import Sequence

from imgcls.evaluation.intervals import Interval
from imgcls.evaluation.spread import compute_t_quantile


def compute_welch_interval(
    old: Sequence[float], new: Sequence[float], confidence: float
) -> Interval | None:
    """Return the interval of the difference of two means, new - old (Welch, 1947).

    The runs of two families are independent even if their seeds are the same: another model uses
    the same random numbers for something else. So they are not paired.

    Args:
        old, new: a number of each run.
        confidence: of the interval, above 0 and below 1.

    Returns:
        Its ends; None if a family has one run, or all runs of both have the same number: there is
        no spread to compare with.
    """
    if min(len(old), len(new)) < 2:
        return None
    shares = [statistics.variance(values) / len(values) for values in (old, new)]
    if not sum(shares):
        return None
    squares = sum(
        share**2 / (len(values) - 1) for share, values in zip(shares, (old, new), strict=True)
    )
    difference = statistics.fmean(new) - statistics.fmean(old)
    half = compute_t_quantile(sum(shares) ** 2 / squares, confidence) * sum(shares) ** 0.5
    return difference - half, difference + half


def compute_fold_interval(
    differences: Sequence[float], test_to_train: float, confidence: float
) -> Interval | None:
    """Return the corrected resampled t interval of a mean difference over folds.

    The training sets of folds overlap, so the differences depend on one another, and their spread
    is too small; the correction is for that (Nadeau and Bengio, 2003, section 5).

    Args:
        differences: new - old on each fold.
        test_to_train: the number of test images divided by that of training images.
        confidence: of the interval, above 0 and below 1.

    Returns:
        Its ends; None if there is one fold, or all folds have the same difference.
    """
    if len(differences) < 2 or not (variance := statistics.variance(differences)):
        return None
    scale = ((1 / len(differences) + test_to_train) * variance) ** 0.5
    half = compute_t_quantile(len(differences) - 1, confidence) * scale
    difference = statistics.fmean(differences)
    return difference - half, difference + half
