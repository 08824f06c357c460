"""McNemar's exact test of two classifiers on the same images. Light zone.

Only images that exactly one of them classifies correctly tell them apart. If both have the same
accuracy, either is as likely to be the one that is right, so the number that only one has right is
binomial with p = 1/2 (McNemar, 1947; the exact test: Dietterich, 1998, section 3.1).
"""

from collections.abc import Sequence


def compute_p_value(only_old: int, only_new: int) -> float:
    """Return the two-sided p-value, 0..1; 1 if no image tells them apart.

    Args:
        only_old: images that only the old one has right.
        only_new: images that only the new one has right.
    """
    from scipy.special import bdtr

    images = only_old + only_new
    return min(1.0, 2 * float(bdtr(min(only_old, only_new), images, 0.5))) if images else 1.0


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """Return p-values of several tests, adjusted so that one of them is at most 0.05 by chance in
    at most 5 % of cases (Holm, 1979).
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
