"""Bootstrap intervals of the mean of a number of each image. Light zone."""

from typing import TYPE_CHECKING

from imgcls.config import Evaluate
from imgcls.evaluation.bootstrap import enclose_all
from imgcls.evaluation.intervals import Interval

if TYPE_CHECKING:
    import numpy

_BLOCK = 1 << 20  # numbers that are drawn at a time


def compute_mean_interval(values: "numpy.ndarray", settings: Evaluate, seed: int) -> Interval:
    """Return the percentile interval of a mean over images; of one image, its value twice.

    Args:
        values: float (images,), at least one.
        settings: their `bootstrap_samples` and `confidence`.
        seed: of the samples; the same seed gives the same samples of as many images.
    """
    import numpy

    generator = numpy.random.Generator(numpy.random.Philox(seed))
    count, samples = len(values), settings.bootstrap_samples
    means = [
        values[generator.integers(count, size=(some, count))].mean(axis=1)
        for some in _divide(samples, max(_BLOCK // count, 1))
    ]
    # A sum of fractions that is 0 but for rounding is 0, which decides what is said.
    return enclose_all(numpy.concatenate(means).round(12), settings.confidence)


def _divide(total: int, size: int) -> list[int]:
    full, rest = divmod(total, size)
    return [size] * full + [rest] * (rest > 0)
