"""Confidence intervals of metrics by the percentile bootstrap. Light zone.

A bootstrap sample is as many images as the split has, drawn from it with replacement; a metric is
computed on each sample (Efron and Tibshirani, 1993, chapter 13). The interval reflects the choice
of images in the split, not the randomness of training. If all samples give the same value, such as
an accuracy of 1, its width is 0.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.evaluation.intervals import Interval
from imgcls.evaluation.predictions import Predictions
from imgcls.io import terminal
from imgcls.metrics import MetricSettings

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Quantity


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
    metrics: Sequence[MetricSettings],
    bootstrap_samples: int,
    confidence: float,
    seed: int,
) -> dict[str, Interval | None]:
    """Return the confidence interval of each scalar of the metrics.

    A sample on which a scalar is undefined, such as one without any image of a rare class, does not
    count for that scalar's interval.

    Args:
        bootstrap_samples: number of samples.
        confidence: of the intervals, 0..1.
        seed: of the samples.

    Returns:
        (low, high) by name; None if the scalar is undefined on every sample.
    """
    import numpy

    names = list_scalars(metrics)
    values = numpy.empty((bootstrap_samples, len(names)))
    samples = sample_indices(len(predictions.labels), bootstrap_samples, seed)
    for i, indices in enumerate(samples):
        values[i] = compute_scalars(metrics, BootstrapSample(predictions, indices))
    return {name: enclose(values[:, j], confidence) for j, name in enumerate(names)}


def sample_indices(images: int, bootstrap_samples: int, seed: int) -> "Iterator[numpy.ndarray]":
    """Yield the indices of each bootstrap sample, int64 (images,), and show the progress."""
    import numpy

    generator = numpy.random.Generator(numpy.random.Philox(seed))
    for _ in terminal.track(range(bootstrap_samples), bootstrap_samples, "bootstrap samples"):
        yield generator.integers(images, size=images)


def list_scalars(metrics: Sequence[MetricSettings]) -> list[str]:
    """Return the names of the scalars of all metrics, in the order of `compute_scalars`."""
    return [name for settings in metrics for name in settings.scalars]


def compute_scalars(metrics: Sequence[MetricSettings], sample: BootstrapSample) -> list[float]:
    """Return the scalars of all metrics on a sample; NaN if undefined."""
    found: list[float] = []
    for settings in metrics:
        scalars = parts.load_for("metrics", settings).compute(settings, sample).scalars
        values = [scalars[name] for name in settings.scalars]
        found += [float("nan") if value is None else value for value in values]
    return found


def enclose(values: "numpy.ndarray", confidence: float) -> Interval | None:
    """Return the quantiles that enclose the middle `confidence` of the values; NaN do not count."""
    import numpy

    defined = values[~numpy.isnan(values)]
    return enclose_all(defined, confidence) if defined.size else None


def enclose_all(values: "numpy.ndarray", confidence: float) -> Interval:
    """Return the quantiles that enclose the middle `confidence` of the values, at least one."""
    import numpy

    low, high = numpy.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return low, high
