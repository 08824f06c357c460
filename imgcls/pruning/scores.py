"""How much the groups of channels matter. Heavy zone."""

from collections.abc import Callable, Iterator

import numpy

from imgcls.backend import keras
from imgcls.pruning.trace import Trace, Use
from imgcls.seeds import derive_seed

Scores = Iterator[tuple[Use, numpy.ndarray]]
"""The score of each output channel of a layer, float64 (channels,), for several layers."""


def compute_scores(trace: Trace, score: str, seed: int) -> numpy.ndarray:
    """Return the score of each group; those of a low one are removed first.

    The channels of each layer are divided by their mean, since kernels and scales of two layers are
    not comparable. A group that is in several layers gets the mean of its channels.

    Args:
        score: `batch_norm`, the absolute scale of the batch norm that a channel goes through (Liu
            et al., 2017, "Learning efficient convolutional networks through network slimming"), or
            where none is, as `l1`; `l1`, the sum of a kernel's absolute values (Li et al., 2017,
            "Pruning filters for efficient ConvNets"); or `random`.

    Returns:
        Float64 (size,), at least 0.
    """
    if score == "random":
        return numpy.random.default_rng(derive_seed(seed, "prune")).random(trace.size)
    norms = _average(trace, _list_kernel_norms)
    if score == "l1":
        return numpy.nan_to_num(norms)
    scales = _average(trace, _list_batch_norm_scales)
    return numpy.nan_to_num(numpy.where(numpy.isnan(scales), norms, scales))


def has_batch_norm(trace: Trace) -> bool:
    """Return whether a removable channel goes through a batch norm with a scale."""
    return any(
        group not in trace.reasons
        for use, _ in _list_batch_norm_scales(trace)
        for group in use.outputs.tolist()
    )


def _average(trace: Trace, list_scores: Callable[[Trace], Scores]) -> numpy.ndarray:
    """Return the mean score of each group, float64 (size,); NaN where it has none."""
    sums, counts = numpy.zeros(trace.size), numpy.zeros(trace.size)
    for use, values in list_scores(trace):
        mean = values.mean()
        numpy.add.at(sums, use.outputs, values / mean if mean > 0 else numpy.ones_like(values))
        numpy.add.at(counts, use.outputs, 1.0)
    return numpy.divide(sums, counts, out=numpy.full(trace.size, numpy.nan), where=counts > 0)


def _list_batch_norm_scales(trace: Trace) -> Scores:
    for use in _list_first_uses(trace):
        layer = use.call.operation
        if use.call.kind == "layers.BatchNormalization" and layer.scale:
            yield use, _read(layer.gamma)


def _list_kernel_norms(trace: Trace) -> Scores:
    for use in _list_first_uses(trace):
        layer = use.call.operation
        match use.call.kind:
            case "layers.Conv2D" | "layers.Dense":
                kernel = layer.kernel
            case "layers.DepthwiseConv2D":
                kernel = layer.kernel
            case "layers.SeparableConv2D":
                kernel = layer.pointwise_kernel
            case _:
                continue
        yield use, _read(kernel).reshape(-1, len(use.outputs)).sum(axis=0)


def _list_first_uses(trace: Trace) -> list[Use]:
    """Return one call of each layer."""
    return list({id(use.call.operation): use for use in trace.uses}.values())


def _read(variable: keras.Variable) -> numpy.ndarray:
    """Return the absolute values of a weight, float64."""
    return numpy.abs(numpy.asarray(variable.value, numpy.float64))
