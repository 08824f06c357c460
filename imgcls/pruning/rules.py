"""What each kind of layer and operation does to channels. Heavy zone.

A rule returns the channels of the outputs, after joining those of its inputs where they can only be
removed together; or None where it does not know, so that all are kept.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from imgcls.backend import keras
from imgcls.pruning.channels import Channels
from imgcls.pruning.kinds import BINARY, ELEMENTWISE, POOLING, UNARY


@dataclass(frozen=True)
class Traced:
    """A tensor of the graph: its shape and dtype, and the channels on its last axis."""

    spec: Any
    channels: numpy.ndarray


@dataclass(frozen=True)
class Call:
    """A call of a layer or operation.

    Attributes:
        kind: as `graph.name_kind` returns it.
        inputs: the tensors among its arguments.
        arguments: its positional arguments; tensors are `Traced`.
        output: shape and dtype of its output, or of the first of several.
        is_single: whether it has one output.
    """

    operation: Any
    kind: str
    inputs: list[Traced]
    arguments: tuple[Any, ...]
    output: Any
    is_single: bool


Rule = Callable[[Call, Channels], numpy.ndarray | None]


def is_elementwise(operation: Any) -> bool:
    """Return whether the activation of a layer computes each value by itself."""
    return getattr(operation.activation, "__name__", "") in ELEMENTWISE


def pass_on(call: Call, channels: Channels) -> numpy.ndarray | None:
    """Return the inputs' channels: each output channel depends on the same one of the inputs."""
    return call.inputs[0].channels if len(call.inputs) == 1 else None


def _pass_on_pixels(call: Call, channels: Channels) -> numpy.ndarray | None:
    is_last = call.operation.data_format == "channels_last"
    return pass_on(call, channels) if is_last else None


def _activate(call: Call, channels: Channels) -> numpy.ndarray | None:
    return pass_on(call, channels) if is_elementwise(call.operation) else None


def _normalize_channels(call: Call, channels: Channels) -> numpy.ndarray | None:
    axis = call.operation.axis
    return pass_on(call, channels) if axis in (-1, len(call.output.shape) - 1) else None


def _scale(call: Call, channels: Channels) -> numpy.ndarray | None:
    operation = call.operation
    is_scalar = numpy.ndim(operation.scale) == 0 and numpy.ndim(operation.offset) == 0
    return pass_on(call, channels) if is_scalar else _keep_constants(call, channels)


def _scale_each(call: Call, channels: Channels) -> numpy.ndarray | None:
    """Pass channels on through a layer that has factors for each, whose last axis is theirs."""
    (given,) = call.inputs
    has_channels = call.operation.alpha.shape[-1] == len(given.channels)
    return given.channels if has_channels else None


def _keep(call: Call, channels: Channels) -> numpy.ndarray | None:
    """Keep the channels that a layer computes statistics over: of fewer, they would be others."""
    (given,) = call.inputs
    channels.keep(given.channels, f"{call.operation.name} normalizes over them")
    return given.channels


def _keep_constants(call: Call, channels: Channels) -> numpy.ndarray | None:
    (given,) = call.inputs
    channels.keep(given.channels, f"{call.operation.name} has a constant for each")
    return given.channels


def _combine(call: Call, channels: Channels) -> numpy.ndarray | None:
    """Join what is added or multiplied; a single channel is broadcast over all others."""
    if not all(
        isinstance(each, Traced | int | float) for each in keras.tree.flatten(call.arguments)
    ):
        return None  # an array may have a value for each channel
    width = call.output.shape[-1]
    wide = [each.channels for each in call.inputs if len(each.channels) == width]
    for each in call.inputs:
        if len(each.channels) != width:
            channels.keep(each.channels, f"{call.operation.name} broadcasts them")
    for other in wide[1:]:
        channels.join(wide[0], other)
    return wide[0]


def _concatenate(call: Call, channels: Channels) -> numpy.ndarray | None:
    rank = len(call.output.shape)
    if call.operation.axis % rank == rank - 1:
        return numpy.concatenate([each.channels for each in call.inputs])
    for other in call.inputs[1:]:
        channels.join(call.inputs[0].channels, other.channels)
    return call.inputs[0].channels


def _reshape(call: Call, channels: Channels) -> numpy.ndarray | None:
    """Pass channels on where the last axis stays the same, or is that of all pixels' values."""
    (given,) = call.inputs
    before, after = given.spec.shape, call.output.shape
    if getattr(call.operation, "data_format", "channels_last") != "channels_last":
        return None
    if before[-1] == after[-1]:
        return given.channels
    is_flat = len(after) == 2 and None not in before[1:]
    return numpy.tile(given.channels, math.prod(before[1:-1])) if is_flat else None


def get_channel_slice(call: Call) -> slice | None:
    """Return the slice of an index such as `x[:, :, :, 2:8]` on the last axis; None if that takes
    something else than neighboring channels.
    """
    given, key = call.arguments
    keys = list(key) if isinstance(key, tuple | list) else [key]
    if any(each is None or isinstance(each, int) for each in keys):
        return None  # which shift or remove axes
    if Ellipsis in keys:
        position = keys.index(Ellipsis)
        missing = len(given.spec.shape) - len(keys) + 1
        keys[position : position + 1] = [slice(None)] * missing
    keys += [slice(None)] * (len(given.spec.shape) - len(keys))
    last = keys[-1]
    return last if isinstance(last, slice) and last.step in (None, 1) else None


def _slice(call: Call, channels: Channels) -> numpy.ndarray | None:
    taken = get_channel_slice(call)
    return None if taken is None else call.inputs[0].channels[taken]


def _connect(call: Call, channels: Channels) -> numpy.ndarray | None:
    """Return new channels, each of which depends on all channels of the inputs."""
    operation = call.operation
    if getattr(operation, "data_format", "channels_last") != "channels_last":
        return None
    outputs = channels.add(call.output.shape[-1])
    if not is_elementwise(operation):
        channels.keep(outputs, f"{operation.name} has an activation over all of them")
    return outputs


def _convolve(call: Call, channels: Channels) -> numpy.ndarray | None:
    """As `_connect`; with groups, each keeps as many channels as the others.

    If each has one input channel, whole groups are removed instead, as in a depthwise convolution.
    """
    outputs, groups = _connect(call, channels), call.operation.groups
    if outputs is None or groups == 1:
        return outputs
    given = call.inputs[0].channels
    if is_depthwise(call.operation, len(given)):
        channels.join(outputs, numpy.repeat(given, len(outputs) // groups))
        return outputs
    for each in (given, outputs):
        first, *others = each.reshape(groups, -1)
        for other in others:
            channels.join(first, other)
    return outputs


def is_depthwise(convolution: keras.layers.Conv2D, channels: int) -> bool:
    """Return whether each group of a convolution of `channels` inputs has one of them."""
    return bool(1 < convolution.groups == channels)


def _convolve_each(call: Call, channels: Channels) -> numpy.ndarray | None:
    operation = call.operation
    if operation.data_format != "channels_last" or not is_elementwise(operation):
        return None
    return numpy.repeat(call.inputs[0].channels, operation.depth_multiplier)


RULES: dict[str, Rule] = {
    **dict.fromkeys(UNARY, pass_on),
    **dict.fromkeys(BINARY, _combine),
    **dict.fromkeys(POOLING, _pass_on_pixels),
    "layers.Activation": _activate,
    "layers.BatchNormalization": _normalize_channels,
    "layers.Concatenate": _concatenate,
    "layers.Conv2D": _convolve,
    "layers.Dense": _connect,
    "layers.DepthwiseConv2D": _convolve_each,
    "layers.Flatten": _reshape,
    "layers.GroupNormalization": _keep,
    "layers.CustomScaleLayer": _combine,  # of InceptionResNetV2
    "layers.LayerNormalization": _keep,
    "layers.LayerScale": pass_on,  # of ConvNeXt
    "layers.Normalization": _keep_constants,
    "layers.PReLU": _scale_each,
    "layers.Rescaling": _scale,
    "layers.Reshape": _reshape,
    "layers.SeparableConv2D": _connect,
    "layers.SpatialDropout2D": _pass_on_pixels,
    "layers.UnitNormalization": _keep,
    "ops.Concatenate": _concatenate,
    "ops.GetItem": _slice,
}
"""By kind; any other keeps its channels."""
