"""Networks that are trained again, from files of Keras's own layers. Heavy zone."""

from pathlib import Path
from typing import Any

from imgcls.backend import keras
from imgcls.models._batch_norm import MIN_EPSILON, BatchNorm
from imgcls.models._dropout import Dropout


def load_network(path: Path) -> keras.Model:
    """Load a network for training, with its weights.

    Keras's dropout and batch norm become the layers that training has for them, as far as these
    have their settings.

    Returns:
        A model from uint8 images (batch, height, width, channels) to logits (batch, classes).
    """
    plain = keras.models.load_model(path, compile=False)
    model = keras.models.clone_model(
        plain, clone_function=_to_training_layer, call_function=_call, recursive=True
    )
    model.set_weights(plain.get_weights())
    return model


def _call(layer: keras.layers.Layer, *inputs: Any, **settings: Any) -> Any:
    """Call a layer without the masks of Keras's layers, which are None for images."""
    return layer(*inputs, **{name: value for name, value in settings.items() if value is not None})


def _to_training_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    if type(layer) is keras.layers.Dropout:
        own = {"name": layer.name, "dtype": layer.dtype_policy}
        return Dropout(layer.rate, layer.seed, layer.noise_shape, **own)
    if type(layer) is keras.layers.BatchNormalization and _has_fused_kernels(layer):
        return BatchNorm(
            layer.name, momentum=layer.momentum, epsilon=layer.epsilon, scale=layer.scale
        )
    return type(layer).from_config(layer.get_config())


def _has_fused_kernels(layer: keras.layers.BatchNormalization) -> bool:
    """Return whether `BatchNorm` can have the settings of a layer."""
    last = layer.axis in (-1, len(layer.input.shape) - 1)
    same_type = layer.dtype_policy.name == keras.config.dtype_policy().name
    return last and same_type and layer.center and layer.epsilon >= MIN_EPSILON
