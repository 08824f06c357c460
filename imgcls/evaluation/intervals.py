"""Confidence intervals; and Wilson's, for a fraction of images. Light zone."""

import statistics
from typing import Annotated

from pydantic import Field

Interval = Annotated[tuple[float, float], Field(strict=False)]
"""The lower and the upper end."""


def compute_wilson_interval(successes: int, count: int, confidence: float) -> Interval:
    """Return the Wilson score interval of a fraction (Wilson, 1927; Brown et al., 2001, section 3).

    Unlike a percentile bootstrap, it has a width above 0 even if all or none of the images are
    successes.

    Args:
        successes: images that count, such as correctly classified ones, 0..count.
        count: all images, at least 1.
        confidence: of the interval, above 0 and below 1.

    Returns:
        The lower and the upper end, 0..1.
    """
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    fraction = successes / count
    scale = 1 + z**2 / count
    center = (fraction + z**2 / (2 * count)) / scale
    half = z / scale * (fraction * (1 - fraction) / count + (z / (2 * count)) ** 2) ** 0.5
    # In exact arithmetic, the interval of no success begins at 0, and that of all ends at 1.
    low = center - half if successes else 0.0
    high = center + half if successes < count else 1.0
    return low, high
