"""Inverted residuals, of which MobileNetV2 and EfficientNet consist. Heavy zone.

Sandler et al., 2018, "MobileNetV2: inverted residuals and linear bottlenecks", section 3.3.
"""

from typing import NamedTuple

from imgcls.backend import keras
from imgcls.models._batch_norm import BatchNorm


class Block(NamedTuple):
    """The sizes of a block.

    Attributes:
        expansion: the channels of its depthwise convolution, as a multiple of those of its inputs.
        filters: of its last convolution.
        kernel_size: of the depthwise convolution, in pixels.
        strides: of the depthwise convolution.
    """

    expansion: int
    filters: int
    kernel_size: int
    strides: int


def round_filters(filters: int, factor: float) -> int:
    """Return a number of filters times a factor, rounded to a multiple of 8, but at most 10 % down,
    as in the code of the authors of both papers.
    """
    wanted = filters * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def convolve(
    features: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int,
    name: str,
    momentum: float,
) -> keras.KerasTensor:
    """Add a convolution, batch norm and ReLU6.

    Args:
        name: the beginning of the names of the layers.
        momentum: of batch norm's moving averages.
    """
    features = _convolve_linearly(features, filters, kernel_size, strides, name, momentum)
    return _activate(features, name)


def add_block(
    features: keras.KerasTensor, block: Block, name: str, momentum: float
) -> keras.KerasTensor:
    """Add a block: a 1x1 convolution to more channels, unless the expansion is 1; a depthwise one;
    and a 1x1 convolution without activation.

    Args:
        name: the beginning of the names of the layers.
        momentum: of batch norm's moving averages.
    """
    inputs, channels = features, features.shape[-1]
    if block.expansion > 1:
        expanded = block.expansion * channels
        features = convolve(features, expanded, 1, 1, f"{name}_expand", momentum)
    features = keras.layers.DepthwiseConv2D(
        block.kernel_size,
        strides=block.strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=_make_initializer(),
        name=f"{name}_depthwise_convolution",
    )(features)
    features = BatchNorm(f"{name}_depthwise_batch_norm", momentum)(features)
    features = _activate(features, f"{name}_depthwise")
    features = _convolve_linearly(features, block.filters, 1, 1, f"{name}_project", momentum)
    if block.strides > 1 or channels != block.filters:
        return features
    return keras.layers.Add(name=f"{name}_add")([features, inputs])


def _convolve_linearly(
    features: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int,
    name: str,
    momentum: float,
) -> keras.KerasTensor:
    """Add a convolution and batch norm."""
    features = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_make_initializer(),
        name=f"{name}_convolution",
    )(features)
    return BatchNorm(f"{name}_batch_norm", momentum)(features)


def _activate(features: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.ReLU(6.0, name=f"{name}_activation")(features)


def _make_initializer() -> keras.Initializer:
    """Return He's initializer by the outputs, as torchvision and the authors of EfficientNet have.

    By the inputs, Keras would count all channels of a depthwise kernel, each of which sees one.
    """
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
