"""Layers that several models share. Heavy zone."""

from typing import Any

from imgcls.backend import keras, tf
from imgcls.io import terminal
from imgcls.models import Problem

SMALL_SIDE = 64
"""Up to which side in pixels images are too small for the first layers of a network for
ImageNet.
"""


def standardize(images: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Bring uint8 images to mean 0 and std 1 per channel of the training pixels, in the
    policy's compute dtype.

    A channel that never varies is only centred.
    """
    variance = [std**2 if std > 0 else 1.0 for std in problem.std]
    return keras.layers.Normalization(
        axis=-1, mean=problem.mean, variance=variance, name="standardize"
    )(images)


def make_batch_norm(name: str) -> keras.layers.BatchNormalization:
    """Return a batch normalization whose statistics are those of the global batch, on any number of
    replicas.
    """
    return keras.layers.BatchNormalization(
        name=name, synchronized=tf.distribute.get_strategy().num_replicas_in_sync > 1
    )


class ConvolutionBeforePooling(keras.layers.Conv2D):
    """A Conv2D that leaves its bias to the max pooling behind it.

    The largest of numbers that all get the same bias is the largest number plus the bias, to the
    last bit; added after the pooling, it touches a quarter of the pixels or fewer, forward and
    backward: a twentieth of a small network's step.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the convolution alone."""
        return self.convolution_op(inputs, self.kernel)

    def to_plain(self) -> keras.layers.Layer:
        """Return the Keras layer that, with the pooling's plain one, computes the same without
        imgcls.
        """
        return keras.layers.Conv2D.from_config(self.get_config())


class PoolingWithBias(keras.layers.MaxPooling2D):
    """The max pooling that adds the bias of the `ConvolutionBeforePooling` before it."""

    def __init__(self, convolution: ConvolutionBeforePooling, **settings: Any):
        super().__init__(**settings)
        self._bias = lambda: convolution.bias  # an attribute would count as a layer of this one

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the pooled inputs plus the bias."""
        return tf.nn.bias_add(super().call(inputs), keras.ops.convert_to_tensor(self._bias()))

    def to_plain(self) -> keras.layers.Layer:
        """Return the Keras layer that, with the convolution's plain one, computes the same without
        imgcls.
        """
        return keras.layers.MaxPooling2D.from_config(self.get_config())


def note_large_stem(model: str, size: tuple[int, int], kernel_size: int, stride: int) -> None:
    """Say so when a model's first layers are made for ImageNet's large images, but meet small ones.

    On 32x32 images ResNet-50 with such a stem reached 59.8 instead of 75.9 %
    (huggingface/pytorch-image-models, issue 2481).

    Args:
        size: height and width of the images.
        kernel_size: of the first convolution.
        stride: by what the first convolution and pooling together divide height and width.
    """
    if min(size) <= SMALL_SIDE and (kernel_size >= 7 or stride >= 4):
        terminal.note(
            f"model.{model}: the first layers look at {kernel_size}x{kernel_size} pixels and divide"
            f" the sides by {stride}, as for images of 224x224; on images of {size[0]}x{size[1]}"
            " smaller kernels and less pooling there keep what is to be seen"
        )


def make_logits(features: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Return the last dense layer's outputs, in at least float32: half precision would round close
    probabilities together.
    """
    compute = keras.config.dtype_policy().compute_dtype
    dtype = compute if compute == "float64" else "float32"
    return keras.layers.Dense(problem.classes, dtype=dtype, name="logits")(features)
