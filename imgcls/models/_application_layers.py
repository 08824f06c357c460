"""Preprocessing of keras.applications as layers, and our layers in the place of Keras's. Heavy
zone.
"""

from collections.abc import Iterator
from typing import Any

from imgcls.backend import keras
from imgcls.models import Problem, _layers
from imgcls.models._application_families import Preprocessing
from imgcls.models._batch_norm import BatchNorm
from imgcls.models._dropout import Dropout
from imgcls.transfer.layer_names import renumber

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (123.68, 116.779, 103.939)
"""Of red, green and blue (keras/src/applications/imagenet_utils.py)."""


def preprocess(
    images: keras.KerasTensor, preprocessing: Preprocessing, problem: Problem
) -> keras.KerasTensor:
    """Scale pixels as the ImageNet weights of a family of networks expect it.

    A single channel is repeated: kernels that are summed would give other results at the edges,
    where images are padded with zeros after each channel is shifted by its own mean. Images of
    other channels, for which there are no weights, are standardized.

    Args:
        images: uint8 (batch, height, width, channels).
    """
    channels = images.shape[-1]
    if channels not in (1, 3):
        return _layers.standardize(images, problem)
    if channels == 1:
        images = keras.layers.Concatenate(name="repeat_channels")([images] * 3)
    if preprocessing == "tf":
        return keras.layers.Rescaling(1 / 127.5, -1.0, name="rescale")(images)
    if preprocessing == "centered":
        return keras.layers.Rescaling(1 / 128, -1.0, name="rescale")(images)
    is_caffe = preprocessing == "caffe"
    mean = _CAFFE_MEAN if is_caffe else [255 * each for each in _IMAGENET_MEAN]
    variance = [1.0] * 3 if is_caffe else [(255 * each) ** 2 for each in _IMAGENET_STD]
    pixels = keras.layers.Normalization(mean=mean, variance=variance, name="normalize")(images)
    return keras.ops.flip(pixels, axis=-1) if is_caffe else pixels


def replace_layers(
    application: keras.Model,
    images: keras.KerasTensor,
    dropout_seed: int,
    left_out: tuple[str, ...] = (),
) -> keras.KerasTensor:
    """Return the output of a copy of an application, with our batch norm and dropout.

    Nested models become layers of the model itself. Names that Keras has numbered over all models
    of the process are numbered from 0.

    Args:
        application: from the images to features.
        images: the input of the application.
        dropout_seed: of its first dropout layer.
        left_out: names of layers that are left out.
    """
    names = _name_layers(application)
    seeds = iter(range(dropout_seed, dropout_seed + len(names)))

    def clone(layer: Any) -> Any:
        if isinstance(layer, keras.Sequential):
            return layer  # `call` copies its layers
        return _replace(layer, names[id(layer)], seeds)

    def call(layer: Any, *arguments: Any, **settings: Any) -> Any:
        """Return the output of a copied layer, or its input if it is left out."""
        if isinstance(layer, keras.Sequential):
            (features,) = arguments
            for inner in layer.layers:
                features = clone(inner)(features)
            return features
        if layer.name in left_out:
            return arguments[0]
        if settings.get("mask", layer) is None:
            settings.pop("mask")  # Keras's batch norm was called with it; ours does not have it
        return layer(*arguments, **settings)

    inputs = keras.tree.map_structure(lambda _: images, application.input)  # some have a list
    copied = keras.models.clone_model(
        application, input_tensors=inputs, clone_function=clone, call_function=call
    )
    return copied.outputs[0]


def _replace(layer: Any, name: str, seeds: Iterator[int]) -> Any:
    """Return a copy of a layer under another name, or our layer in its place.

    Args:
        seeds: of the dropout layers that are still to come.
    """
    config = layer.get_config() | {"name": name}
    if type(layer) is keras.layers.BatchNormalization:
        return BatchNorm(name, momentum=layer.momentum, epsilon=layer.epsilon, scale=layer.scale)
    if type(layer) is keras.layers.Dropout:
        shape = config["noise_shape"]
        noise_shape = None if shape is None else tuple(shape)
        return Dropout(layer.rate, next(seeds), noise_shape=noise_shape, name=name)
    return type(layer).from_config(config)


def _name_layers(application: keras.Model) -> dict[int, str]:
    """Return the new name of each layer and operation by its id, those of nested models too."""
    pending: list[Any] = [application]
    found: list[Any] = []
    for model in pending:
        for each in getattr(model, "operations", model.layers):
            (pending if isinstance(each, keras.Sequential) else found).append(each)
    names = {id(each): each.name for each in [*found, *pending]}
    # Keras has no public function for it.
    to_kind = keras.src.utils.naming.to_snake_case
    return renumber(names, {id(each): to_kind(type(each).__name__) for each in found})
