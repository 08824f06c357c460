"""Folds layers of batch norm into the layers before them. Heavy zone."""

from collections.abc import Iterator
from typing import Any

import numpy

from imgcls.backend import keras

_LINEAR = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
"""Layers whose outputs are sums of products with their weights, by channel."""


def fold_batch_norm(model: keras.Model) -> tuple[keras.Model, list[str], dict[str, str]]:
    """Fold each layer of batch norm, in nested models too, into the layer before, where that has
    the same results.

    Args:
        model: functional, of layers of Keras.

    Returns:
        The model without them; their names; and of each layer that is left, the reason.
    """
    into: dict[int, keras.layers.Layer] = {}  # the layers before, each with its batch norm
    left: dict[str, str] = {}
    for norm in _list_batch_norms(model):
        before = _find_layer_before(norm)
        if reason := _find_obstacle(norm, before):
            left[norm.name] = reason
        else:
            into[id(before)] = norm
    gone = set(map(id, into.values()))
    clones: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        own = layer.get_config() | ({"use_bias": True} if id(layer) in into else {})
        clones.append((layer, layer if id(layer) in gone else type(layer).from_config(own)))
        return clones[-1][1]

    def call(layer: keras.layers.Layer, *inputs: Any, **settings: Any) -> Any:
        return inputs[0] if id(layer) in gone else layer(*inputs, **settings)

    folded = keras.models.clone_model(
        model, clone_function=clone, call_function=call, recursive=True
    )
    for layer, made in clones:
        # Among them may be operations that are not layers, such as a sum of tensors.
        if id(layer) not in gone and isinstance(layer, keras.layers.Layer):
            norm = into.get(id(layer))
            made.set_weights(_multiply(layer, norm) if norm else layer.get_weights())
    return folded, [norm.name for norm in into.values()], left


def _list_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a model and those of nested ones."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _list_layers(layer)


def _list_batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    kind = keras.layers.BatchNormalization
    return [layer for layer in _list_layers(model) if isinstance(layer, kind)]


def _find_layer_before(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return what made the input of a layer, where it was called first."""
    return layer._inbound_nodes[0].input_tensors[0]._keras_history.operation


def _find_obstacle(norm: keras.layers.BatchNormalization, before: Any) -> str | None:
    """Return why a layer of batch norm cannot be folded into the one before; None if it can."""
    kind = type(before).__name__
    if not isinstance(before, _LINEAR) or isinstance(before, keras.layers.Conv2DTranspose):
        return f"it follows '{before.name}', a layer of type {kind}"
    if before.activation is not keras.activations.linear:
        return f"'{before.name}' before it has an activation"
    if len(norm._inbound_nodes) > 1 or len(before._inbound_nodes) > 1:
        return "it, or the layer before, is called more than once"
    if len(before._outbound_nodes) > 1:
        return f"other layers also take what '{before.name}' returns"
    rank = len(before.output.shape)
    if norm.axis not in (-1, rank - 1) or getattr(before, "data_format", "") == "channels_first":
        return "it does not normalize the last axis"
    return None


def _multiply(
    layer: keras.layers.Layer, norm: keras.layers.BatchNormalization
) -> list[numpy.ndarray]:
    """Return the kernel and the bias of a layer that does what batch norm did behind it.

    They are computed in float64, and have the dtype of the layer's variables.
    """
    kernel, *rest = (numpy.asarray(each, numpy.float64) for each in layer.get_weights())
    mean, variance = (
        numpy.asarray(each, numpy.float64) for each in (norm.moving_mean, norm.moving_variance)
    )
    scale = 1 / numpy.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * numpy.asarray(norm.gamma, numpy.float64)
    bias = (sum(rest) - mean) * scale
    if norm.center:
        bias = bias + numpy.asarray(norm.beta, numpy.float64)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        # (height, width, channels, multiplier), whose outputs are (channels x multiplier)
        kernel = kernel * scale.reshape(kernel.shape[2:])
    else:
        kernel = kernel * scale
    dtype = layer.variable_dtype
    return [kernel.astype(dtype), bias.astype(dtype)]
