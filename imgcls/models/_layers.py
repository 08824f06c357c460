"""Layers shared by several models. Heavy zone."""

from collections.abc import Callable
from typing import Any

from imgcls.backend import keras, tf
from imgcls.errors import UserError
from imgcls.io import terminal
from imgcls.models import HEAD, Problem

MAX_SMALL_IMAGE = 64
"""Height or width in pixels up to which an image is too small for an ImageNet stem."""


def standardize(images: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Normalize uint8 images by the mean and std of the training pixels, per channel.

    A constant channel is only centered. The result has the compute dtype of Keras's dtype policy.
    """
    variance = [std**2 if std > 0 else 1.0 for std in problem.std]
    return keras.layers.Normalization(
        axis=-1, mean=problem.mean, variance=variance, name="standardize"
    )(images)


class DeferredBiasConv2D(keras.layers.Conv2D):
    """A Conv2D whose bias is added by the `BiasedMaxPooling2D` that follows.

    max(x + b) = max(x) + b, bit for bit. After pooling, the addition and its gradient touch at most
    a quarter of the pixels, which saves 5 % of a small network's step.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve without adding the bias."""
        return self.convolution_op(inputs, self.kernel)

    def to_plain(self) -> keras.layers.Layer:
        """Return a Conv2D that adds its bias itself; for use with a plain MaxPooling2D."""
        return keras.layers.Conv2D.from_config(self.get_config())


class BiasedMaxPooling2D(keras.layers.MaxPooling2D):
    """A MaxPooling2D that adds the bias of the `DeferredBiasConv2D` before it."""

    def __init__(self, convolution: DeferredBiasConv2D, **settings: Any):
        super().__init__(**settings)
        # A function, since Keras would track an attribute as a sublayer.
        self._get_bias: Callable[[], keras.Variable] = lambda: convolution.bias

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pool the inputs, then add the bias."""
        return tf.nn.bias_add(super().call(inputs), keras.ops.convert_to_tensor(self._get_bias()))

    def to_plain(self) -> keras.layers.Layer:
        """Return a MaxPooling2D that adds no bias; for use with a plain Conv2D."""
        return keras.layers.MaxPooling2D.from_config(self.get_config())


def note_large_stem(
    model: str, size: tuple[int, int], kernel_size: int, stride: int, advice: str
) -> None:
    """Print a note if a model has an ImageNet stem, but the images are small.

    On 32x32 images ResNet-50 with such a stem reached 59.8 instead of 75.9 %
    (huggingface/pytorch-image-models, issue 2481).

    Args:
        size: height and width of the images, in pixels.
        kernel_size: of the first convolution.
        stride: total stride of the first convolution and pooling.
        advice: the settings that would make them smaller.
    """
    if min(size) <= MAX_SMALL_IMAGE and (kernel_size >= 7 or stride >= 4):
        terminal.note(
            f"model {model}: the stem has a kernel of {kernel_size}x{kernel_size} and a stride of"
            f" {stride}, which suits images of 224x224; images of {size[0]}x{size[1]} lose detail"
            f" in it; {advice}"
        )


def choose_stem(model: str, stem: str | None, size: tuple[int, int]) -> str:
    """Return the stem that the settings name, or else the one that suits the images, with a note.

    Args:
        stem: `model.stem`: "3x3", with stride 1; "7x7", with stride 2 and max pooling; or None.
        size: height and width of the images, in pixels.
    """
    if stem == "7x7":
        note_large_stem(model, size, 7, 4, "set model.stem: 3x3")
    if stem:
        return stem
    if min(size) <= MAX_SMALL_IMAGE:
        note_choice(model, "the stem is a 3x3 convolution with stride 1", size, "stem")
        return "3x3"
    note_choice(model, "the stem is a 7x7 convolution with stride 2 and max pooling", size, "stem")
    return "7x7"


def note_choice(model: str, choice: str, size: tuple[int, int], key: str) -> None:
    """Print a note on what follows from the size of the images.

    Args:
        choice: what was chosen, as a sentence.
        size: height and width of the images, in pixels.
        key: of the setting that would say otherwise.
    """
    terminal.note(
        f"model {model}: {choice}, since images have {size[0]}x{size[1]} pixels; to change it, set"
        f" model.{key}"
    )


def require_size(model: str, size: tuple[int, int], total_stride: int, advice: str) -> None:
    """Raise a `UserError` if images have fewer pixels on a side than a model's total stride.

    Args:
        size: height and width of the images.
        total_stride: the product of all strides.
        advice: the settings that would make it smaller, such as "set fewer model.filters".
    """
    if min(size) < total_stride:
        raise UserError(
            f"model {model}: images of {size[0]}x{size[1]} pixels are too small for a total stride"
            f" of {total_stride}, which needs at least {total_stride}x{total_stride}; {advice}"
        )


def note_small_images(model: str, size: tuple[int, int], stride: int) -> None:
    """Print a note if a network made for large images reduces small ones to a few features.

    Args:
        size: height and width of the images, in pixels.
        stride: total stride of the network.
    """
    height, width = (-(-side // stride) for side in size)
    if min(size) <= MAX_SMALL_IMAGE:
        terminal.note(
            f"model {model}: a total stride of {stride} suits images of 224x224; of images of"
            f" {size[0]}x{size[1]}, {height}x{width} features are left; give a larger data.size,"
            " which makes the images larger, or another model"
        )


def make_logits(features: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Add the last dense layer, in float32 or float64, and return its logits, (batch, classes).

    In half precision, close probabilities would be rounded to the same number.
    """
    compute_dtype = keras.config.dtype_policy().compute_dtype
    dtype = compute_dtype if compute_dtype == "float64" else "float32"
    return keras.layers.Dense(problem.classes, dtype=dtype, name=HEAD)(features)
