"""What residual networks are made of: convolutions, batch norm, shortcuts. Heavy zone.

Names of layers begin with the stage and number of the block, such as `stage_1_block_2`.
"""

from imgcls.backend import keras
from imgcls.models._batch_norm import MIN_EPSILON, BatchNorm

STEM_STRIDES = {"3x3": 1, "7x7": 4}
"""The stride of each stem, with its max pooling."""
MOMENTUM = 0.9
"""Of the moving averages of batch norm, as in the papers' own code and torchvision; Keras's 0.99
has not forgotten the initial values after the few epochs of a short training.
"""


def convolve(
    features: keras.KerasTensor, filters: int, kernel_size: int, name: str, strides: int = 1
) -> keras.KerasTensor:
    """Add a convolution without bias, which the batch norm after it has."""
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(features)


def normalize(
    features: keras.KerasTensor, name: str, gamma_initializer: str = "ones"
) -> keras.KerasTensor:
    """Add batch norm."""
    return BatchNorm(name, MOMENTUM, MIN_EPSILON, gamma_initializer)(features)


def activate(features: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Add a ReLU."""
    return keras.layers.Activation("relu", name=name)(features)


def add_stem(features: keras.KerasTensor, filters: int, stem: str) -> keras.KerasTensor:
    """Add the first convolution.

    Args:
        stem: "3x3" or "7x7", as `_layers.choose_stem` returns it.
    """
    kernel_size, strides = (3, 1) if stem == "3x3" else (7, 2)
    return convolve(features, filters, kernel_size, "stem_convolution", strides)


def add_stem_pooling(features: keras.KerasTensor, stem: str) -> keras.KerasTensor:
    """Add the max pooling that follows a stem of 7x7."""
    if stem == "3x3":
        return features
    return keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pooling")(features)


def pad_channels(
    features: keras.KerasTensor, filters: int, strides: int, block: str
) -> keras.KerasTensor:
    """Add the shortcut without parameters: every `strides`-th pixel, and channels of zeros.

    He et al., 2016, section 4.1, option A.

    Args:
        filters: the number of channels wanted, a multiple of those of the features.
    """
    if strides > 1:
        features = keras.layers.AveragePooling2D(
            1, strides=strides, name=f"{block}_shortcut_pooling"
        )(features)
    copies = filters // features.shape[-1] - 1
    if not copies:
        return features
    zeros = keras.layers.Rescaling(0.0, name=f"{block}_shortcut_zeros")(features)
    return keras.layers.Concatenate(name=f"{block}_shortcut_padding")([features, *[zeros] * copies])
