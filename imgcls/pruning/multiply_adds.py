"""Multiply-adds of a network with some of its channels. Heavy zone."""

import math

import numpy

from imgcls.pruning import rules
from imgcls.pruning.trace import Trace, Use


def count_each(trace: Trace, kept: numpy.ndarray) -> list[int]:
    """Return the multiply-adds of each call, for one image.

    Those of layers that pruning does not know are left out, and do not change.

    Args:
        kept: mask of the groups, bool (size,).
    """
    return [_count(use, kept) for use in trace.uses]


def _count(use: Use, kept: numpy.ndarray) -> int:
    layer = use.call.operation
    inputs, outputs = int(kept[use.inputs].sum()), int(kept[use.outputs].sum())
    kernel = math.prod(getattr(layer, "kernel_size", ()))
    match use.call.kind:
        case "layers.Conv2D" if rules.is_depthwise(layer, len(use.inputs)):
            return use.pixels * kernel * outputs
        case "layers.Conv2D":
            return use.pixels * kernel * inputs // layer.groups * outputs
        case "layers.DepthwiseConv2D":
            return use.pixels * kernel * outputs
        case "layers.SeparableConv2D":
            between = inputs * layer.depth_multiplier
            return use.pixels * between * (kernel + outputs)
        case "layers.Dense":
            return use.pixels * inputs * outputs
    return 0
