"""Layers that several models share. Heavy zone."""

from typing import Any

from imgcls.backend import keras, tf
from imgcls.models import Problem


def standardize(images: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Bring uint8 images to mean 0 and deviation 1 per channel of the training pixels, in the policy's compute dtype.

    A channel that never varies is only centred.
    """
    variance = [deviation**2 if deviation > 0 else 1.0 for deviation in problem.deviation]
    return keras.layers.Normalization(axis=-1, mean=problem.mean, variance=variance, name="standardize")(images)


def batch_norm(name: str) -> keras.layers.BatchNormalization:
    """Return a batch normalization whose statistics are those of the global batch, on any number of replicas."""
    return keras.layers.BatchNormalization(name=name, synchronized=tf.distribute.get_strategy().num_replicas_in_sync > 1)


class ConvolutionBeforePooling(keras.layers.Conv2D):
    """A Conv2D that leaves its bias to the max pooling behind it.

    The largest of numbers that all get the same bias is the largest number plus the bias, to the last bit; added after the pooling, it
    touches a quarter of the pixels or fewer, forward and backward: a twentieth of a small network's step.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the convolution alone."""
        return self.convolution_op(inputs, self.kernel)

    def plain(self) -> keras.layers.Layer:
        """Return the Keras layer that, with the pooling's plain one, computes the same without imgcls."""
        return keras.layers.Conv2D.from_config(self.get_config())


class PoolingWithBias(keras.layers.MaxPooling2D):
    """The max pooling that adds the bias of the `ConvolutionBeforePooling` before it."""

    def __init__(self, convolution: ConvolutionBeforePooling, **settings: Any):
        super().__init__(**settings)
        self._bias = lambda: convolution.bias  # an attribute would count as a layer of this one

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the pooled inputs plus the bias."""
        return tf.nn.bias_add(super().call(inputs), keras.ops.convert_to_tensor(self._bias()))

    def plain(self) -> keras.layers.Layer:
        """Return the Keras layer that, with the convolution's plain one, computes the same without imgcls."""
        return keras.layers.MaxPooling2D.from_config(self.get_config())


def logits(features: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Return the last dense layer's outputs, in at least float32: half precision would round close probabilities together."""
    compute = keras.config.dtype_policy().compute_dtype
    dtype = compute if compute == "float64" else "float32"
    return keras.layers.Dense(problem.classes, dtype=dtype, name="logits")(features)
