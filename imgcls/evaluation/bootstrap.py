"""Confidence intervals of metrics by the percentile bootstrap. Light zone.

A bootstrap sample is as many images as the split has, drawn from it with replacement; a metric is
computed on each sample (Efron and Tibshirani, 1993, chapter 13). The interval reflects the choice
of images in the split, not the randomness of training. If all samples give the same value, such as
an accuracy of 1, its width is 0.
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
    """The predictions on a bootstrap sample, with the interface of `Predictions`.

    Values are gathered lazily, because most metrics need one number per image and not the matrix of
    probabilities.

    Args:
        predictions: on all images of the split.
        indices: of the sampled images, int64 (images,).
    """

    def __init__(self, predictions: Predictions, indices: "numpy.ndarray"):
        self.classes = predictions.classes
        self.temperature = predictions.temperature
        self.validation = predictions.validation
        self._predictions = predictions
        self._indices = indices

    def per_image(self, quantity: "Quantity") -> "numpy.ndarray":
        """Return a quantity of each sampled image, (images, ...)."""
        return self._predictions.per_image(quantity)[self._indices]

    @property
    def probabilities(self) -> "numpy.ndarray":
        """Predicted probabilities, float32 (images, classes)."""
        return self._predictions.probabilities[self._indices]

    @property
    def labels(self) -> "numpy.ndarray":
        """True class numbers, int32 (images,)."""
        return self._predictions.labels[self._indices]

    @property
    def predicted(self) -> "numpy.ndarray":
        """Predicted class numbers, int64 (images,)."""
        return self._predictions.predicted[self._indices]


def bootstrap_intervals(
    predictions: Predictions,
    metrics: list[MetricSettings],
    bootstrap_samples: int,
    confidence: float,
    seed: int,
) -> "dict[str, Interval]":
    """Return the confidence interval of each scalar of the metrics.

    A sample on which a scalar is undefined, such as one without any image of a rare class, does not
    count for that scalar's interval.

    Args:
        bootstrap_samples: number of samples.
        confidence: of the intervals, 0..1.
        seed: of the samples.

    Returns:
        [low, high] by name; None if the scalar is undefined on every sample.
    """
    import numpy

    generator = numpy.random.Generator(numpy.random.Philox(seed))
    count = len(predictions.labels)
    values = {
        name: numpy.full(bootstrap_samples, numpy.nan)
        for settings in metrics
        for name in settings.scalars
    }
    for i in terminal.track(range(bootstrap_samples), bootstrap_samples, "confidence intervals"):
        sample = BootstrapSample(predictions, generator.integers(count, size=count))
        for settings in metrics:
            result = parts.load_for("metrics", settings).compute(settings, sample)
            for name, value in result.scalars.items():
                values[name][i] = numpy.nan if value is None else value
    return {
        name: _compute_interval(samples[~numpy.isnan(samples)], confidence)
        for name, samples in values.items()
    }


def _compute_interval(values: "numpy.ndarray", confidence: float) -> "Interval":
    """Return the quantiles that enclose the middle `confidence` of the values."""
    import numpy

    if not values.size:
        return None
    return numpy.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
