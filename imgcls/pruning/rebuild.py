"""Builds the network without the removed channels. Heavy zone."""

from typing import Any

import numpy

from imgcls.backend import keras
from imgcls.pruning import rules
from imgcls.pruning.graph import walk
from imgcls.pruning.trace import Trace, Use


def remove_channels(model: keras.Model, trace: Trace, kept: numpy.ndarray) -> keras.Model:
    """Return a copy of a model with a part of its channels, and their weights.

    Models within the model become layers of the model itself.

    Args:
        trace: of this model.
        kept: mask of the groups, bool (size,).
    """
    uses = iter(trace.uses)
    copies: dict[int, Any] = {}
    pairs: list[tuple[Any, Use]] = []
    names: set[str] = set()

    def compute(operation: Any, *arguments: Any, **settings: Any) -> Any:
        """Call the narrow copy of a layer, which is made for its first call."""
        use = next(uses)
        if id(operation) not in copies:
            copies[id(operation)] = _copy(use, kept, _choose_name(operation.name, names))
            pairs.append((copies[id(operation)], use))
        if use.call.kind == "ops.GetItem":
            arguments = (arguments[0], _narrow_slice(use, kept))
        return copies[id(operation)](*arguments, **settings)

    images = [
        keras.Input(batch_shape=each.shape, dtype=each.dtype, name=each.name)
        for each in model.inputs
    ]
    inputs = keras.tree.pack_sequence_as(model.input, images)
    outputs = walk(model, inputs, compute)
    narrow = keras.Model(inputs, keras.tree.pack_sequence_as(model.output, outputs))
    for layer, use in pairs:
        if getattr(layer, "weights", None):
            layer.set_weights(_slice_weights(use, kept))
    return narrow


def _choose_name(name: str, names: set[str]) -> str:
    """Return a name that no other layer has; layers of two models in the model may share one."""
    number, chosen = 1, name
    while chosen in names:
        number += 1
        chosen = f"{name}_{number}"
    names.add(chosen)
    return chosen


def _copy(use: Use, kept: numpy.ndarray, name: str) -> Any:
    """Return a new layer or operation of the same settings, but for its channels."""
    operation = use.call.operation
    config = dict(operation.get_config())
    if "name" in config:
        config["name"] = name
    inputs, outputs = int(kept[use.inputs].sum()), int(kept[use.outputs].sum())
    match use.call.kind:
        case "layers.Conv2D" if rules.is_depthwise(operation, len(use.inputs)):
            config |= {"filters": outputs, "groups": inputs}
        case "layers.Conv2D" | "layers.SeparableConv2D":
            config["filters"] = outputs
        case "layers.Dense":
            config["units"] = outputs
        case "layers.Reshape":
            config["target_shape"] = (*use.call.output.shape[1:-1], outputs)
    return type(operation).from_config(config)


def _narrow_slice(use: Use, kept: numpy.ndarray) -> tuple[Any, ...]:
    """Return the index that takes the same channels of those that are kept."""
    key = use.call.arguments[1]
    taken = rules.get_channel_slice(use.call)
    if taken is None:
        return key
    start, stop, _ = taken.indices(len(use.inputs))
    before, within = kept[use.inputs[:start]].sum(), kept[use.inputs[start:stop]].sum()
    keys = list(key) if isinstance(key, tuple | list) else [key]
    rank = len(use.call.output.shape)
    if Ellipsis in keys:
        position = keys.index(Ellipsis)
        keys[position : position + 1] = [slice(None)] * (rank - len(keys) + 1)
    keys += [slice(None)] * (rank - len(keys))
    return (*keys[:-1], slice(int(before), int(before + within)))


def _slice_weights(use: Use, kept: numpy.ndarray) -> list[numpy.ndarray]:
    """Return the weights of a layer for the channels that are kept, in its order."""
    layer = use.call.operation
    inputs, outputs = kept[use.inputs], kept[use.outputs]
    return [
        _slice_weight(layer, variable, numpy.asarray(variable.value), inputs, outputs)
        for variable in layer.weights
    ]


def _slice_weight(
    layer: Any, variable: Any, value: numpy.ndarray, inputs: numpy.ndarray, outputs: numpy.ndarray
) -> numpy.ndarray:
    """Return one of the weights of a layer for the channels in two masks."""
    if inputs.all() and outputs.all():
        return value
    if isinstance(layer, keras.layers.SeparableConv2D):
        if variable is layer.depthwise_kernel:
            return value[:, :, inputs]
        if variable is layer.pointwise_kernel:
            between = numpy.repeat(inputs, layer.depth_multiplier)
            return value[:, :, between][..., outputs]
    elif isinstance(layer, keras.layers.DepthwiseConv2D):
        if variable is layer.kernel:
            return value[:, :, inputs]
    elif isinstance(layer, keras.layers.Conv2D | keras.layers.Dense) and variable is layer.kernel:
        # Each group of a convolution has a slice of the inputs, and keeps the same of it.
        rows = inputs[: value.shape[-2]]
        if isinstance(layer, keras.layers.Conv2D) and rules.is_depthwise(layer, len(inputs)):
            rows = numpy.ones(1, bool)
        return value[..., rows, :][..., outputs]
    return value[..., outputs]
