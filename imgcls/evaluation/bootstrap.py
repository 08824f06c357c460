"""Confidence intervals of metrics by the percentile bootstrap (Efron and Tibshirani, 1993, chapter
13). Light zone.

Images are drawn with replacement, and the metric is computed again on each draw. The interval
covers the luck of which images the split holds, not the luck of training. Where every image agrees,
as with an accuracy of 1, the interval has no width.
"""

from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.evaluation.predictions import Predictions
from imgcls.io import terminal
from imgcls.metrics import MetricSettings

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Quantity

    Interval = list[float] | None


class BootstrapSample:
    """Drawn predictions, which a metric reads as it reads `Predictions`.

    Each quantity is gathered when it is read: most metrics need one number an image, and not the
    matrix of probabilities.
    """

    def __init__(self, source: Predictions, rows: "numpy.ndarray"):
        self.source = source
        self.rows = rows
        self.classes = source.classes

    def per_image(self, quantity: "Quantity") -> "numpy.ndarray":
        """Return a quantity of each drawn image."""
        return self.source.per_image(quantity)[self.rows]

    @property
    def probabilities(self) -> "numpy.ndarray":
        """float32 (drawn, classes)."""
        return self.source.probabilities[self.rows]

    @property
    def labels(self) -> "numpy.ndarray":
        """int32 (drawn,)."""
        return self.source.labels[self.rows]

    @property
    def predicted(self) -> "numpy.ndarray":
        """int64 (drawn,)."""
        return self.source.predicted[self.rows]


def bootstrap_intervals(
    predictions: Predictions,
    metrics: list[MetricSettings],
    bootstrap_samples: int,
    confidence: float,
    seed: int,
) -> "dict[str, Interval]":
    """Return [low, high] for each number of the metrics; None where it is undefined in every
    resample.

    A resample in which a number is undefined, such as one without any image of a rare class, is
    left out of that number's interval. The same seed gives the same draws.
    """
    import numpy

    generator = numpy.random.Generator(numpy.random.Philox(seed))
    count = len(predictions.labels)
    drawn = {
        name: numpy.full(bootstrap_samples, numpy.nan)
        for settings in metrics
        for name in settings.scalars
    }
    for i in terminal.track(range(bootstrap_samples), bootstrap_samples, "confidence intervals"):
        resample = BootstrapSample(predictions, generator.integers(count, size=count))
        for settings in metrics:
            for name, value in (
                parts.load_for("metrics", settings).compute(settings, resample).scalars.items()
            ):
                drawn[name][i] = numpy.nan if value is None else value
    return {
        name: _compute_interval(values[values == values], confidence)
        for name, values in drawn.items()
    }


def _compute_interval(values: "numpy.ndarray", confidence: float) -> "Interval":
    """Return the two ends between which the middle share of the values lies."""
    import numpy

    if not values.size:
        return None
    return numpy.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
