"""Confidence intervals of differences between models, by the paired bootstrap. Light zone.

All models are evaluated on the same bootstrap samples of the images, so that what is hard for all
of them does not blur the difference (Efron and Tibshirani, 1993, chapters 8 and 13). The interval
reflects the choice of images, not the randomness of training.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.evaluation.bootstrap import BootstrapSample
from imgcls.evaluation.predictions import Predictions
from imgcls.evaluation.summary import Interval
from imgcls.io import terminal
from imgcls.metrics import MetricSettings

if TYPE_CHECKING:
    import numpy

Replicates = Sequence[Predictions]
"""Predictions of models that are trained in the same way, such as with several seeds, all on the
same images.
"""


def bootstrap_differences(
    candidates: Sequence[Replicates],
    metrics: Sequence[MetricSettings],
    bootstrap_samples: int,
    confidence: float,
    seed: int,
) -> list[dict[str, Interval | None]]:
    """Return the percentile interval of each difference between a candidate and the first one.

    Of each candidate, the mean over its replicates is compared.

    Args:
        candidates: all on the same images in the same order.
        metrics: whose scalars are compared.
        bootstrap_samples: number of samples.
        confidence: of the intervals, 0..1.
        seed: of the samples.

    Returns:
        For each candidate but the first, the ends of the interval by the scalar's name; None if the
        scalar is undefined on every sample. A sample on which it is undefined does not count.
    """
    import numpy

    generator = numpy.random.Generator(numpy.random.Philox(seed))
    count = len(candidates[0][0].labels)
    names = [name for settings in metrics for name in settings.scalars]
    values = numpy.empty((bootstrap_samples, len(candidates), len(names)))
    for i in terminal.track(range(bootstrap_samples), bootstrap_samples, "paired bootstrap"):
        indices = generator.integers(count, size=count)
        for j, replicates in enumerate(candidates):
            samples = [BootstrapSample(each, indices) for each in replicates]
            values[i, j] = numpy.mean([_compute(metrics, sample) for sample in samples], axis=0)
    differences = values[:, 1:] - values[:, :1]
    return [
        {name: _enclose(differences[:, j, k], confidence) for k, name in enumerate(names)}
        for j in range(len(candidates) - 1)
    ]


def _compute(metrics: Sequence[MetricSettings], sample: BootstrapSample) -> list[float]:
    """Return the scalars of all metrics; NaN if undefined."""
    results = [
        parts.load_for("metrics", settings).compute(settings, sample) for settings in metrics
    ]
    return [
        float("nan") if result.scalars[name] is None else result.scalars[name]
        for settings, result in zip(metrics, results, strict=True)
        for name in settings.scalars
    ]


def _enclose(values: "numpy.ndarray", confidence: float) -> Interval | None:
    """Return the quantiles that enclose the middle `confidence` of the values that are defined."""
    import numpy

    defined = values[~numpy.isnan(values)]
    if not defined.size:
        return None
    low, high = numpy.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return low, high
