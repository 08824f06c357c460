"""Confidence intervals of differences between models, by the paired bootstrap. Light zone.

All models are evaluated on the same bootstrap samples of the images, so that what is hard for all
of them does not blur the difference (Efron and Tibshirani, 1993, chapters 8 and 13). The interval
reflects the choice of images, not the randomness of training.
"""

from collections.abc import Sequence

from imgcls.evaluation import bootstrap
from imgcls.evaluation.bootstrap import BootstrapSample
from imgcls.evaluation.intervals import Interval
from imgcls.evaluation.predictions import Predictions
from imgcls.metrics import MetricSettings

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
        For each candidate but the first, (low, high) by the scalar's name; None if the scalar is
        undefined on every sample. A sample on which it is undefined does not count.
    """
    import numpy

    names = bootstrap.list_scalars(metrics)
    values = numpy.empty((bootstrap_samples, len(candidates), len(names)))
    samples = bootstrap.sample_indices(len(candidates[0][0].labels), bootstrap_samples, seed)
    for i, indices in enumerate(samples):
        for j, replicates in enumerate(candidates):
            scalars = [
                bootstrap.compute_scalars(metrics, BootstrapSample(each, indices))
                for each in replicates
            ]
            values[i, j] = numpy.mean(scalars, axis=0)
    differences = values[:, 1:] - values[:, :1]
    return [
        {name: bootstrap.enclose(differences[:, j, k], confidence) for k, name in enumerate(names)}
        for j in range(len(candidates) - 1)
    ]
