"""Dropout whose masks are a function of (seed, step, row in the global batch). Heavy zone.

Keras's layer counts its forward passes in a variable. With it, all devices would drop the same
units of their rows; the masks would depend on the number of devices and micro-batches; and on a
GPU, each step would wait until the count has reached the host, where TensorFlow seeds random
numbers. XLA converts the same random bits to other floats, so this layer converts them itself.
"""

import math
from collections.abc import Callable
from typing import Any

from imgcls.backend import keras, tf
from imgcls.seeds import PHILOX_BLOCK


class Dropout(keras.layers.Layer):
    """Sets a fraction of the inputs to 0 in training, and scales the others.

    Srivastava et al., 2014, "Dropout: a simple way to prevent neural networks from overfitting". A
    model with this layer is called with `step` and `first_row`: see `register_rows`.

    Args:
        rate: the fraction, at least 0 and below 1.
        seed: at least 0; layers with the same seed have the same masks.
        noise_shape: the shape of the mask, where None is the inputs' size, as in Keras's layer.
            The first element is None, since each row has its own mask. With (None, 1, 1, 1), whole
            rows are dropped: stochastic depth (Huang et al., 2016).
    """

    def __init__(
        self,
        rate: float,
        seed: int,
        noise_shape: tuple[int | None, ...] | None = None,
        **settings: Any,
    ):
        super().__init__(**settings)
        self._rate = rate
        self._seed = seed
        # A function, since Keras would track a tuple as a list of layers.
        self._get_noise_shape: Callable[[], tuple[int | None, ...] | None] = lambda: noise_shape
        register_rows(self)

    def call(
        self,
        inputs: tf.Tensor,
        training: bool = False,
        step: tf.Tensor | None = None,
        first_row: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return the inputs, with some of them dropped in training.

        Args:
            step: the training step from 0, int32 scalar; int32 lies in host memory on a GPU.
            first_row: the first of these rows in the global batch, int32 scalar.
        """
        if not training or self._rate == 0:
            return inputs
        sizes = self._get_noise_shape() or (None,) * inputs.shape.rank
        static = [size or known for size, known in zip(sizes[1:], inputs.shape[1:], strict=True)]
        shape = tf.concat([tf.shape(inputs)[:1], tf.constant(static, tf.int32)], 0)
        numbers = self._draw(shape, math.prod(static), step, first_row)
        scaled, zero = inputs * (1 / (1 - self._rate)), tf.zeros([], inputs.dtype)
        return tf.where(numbers >= self._rate, scaled, zero)

    def _draw(
        self, shape: tf.Tensor, units: int, step: tf.Tensor, first_row: tf.Tensor
    ) -> tf.Tensor:
        """Return float32 numbers of a shape, uniform in [0, 1).

        Philox (Salmon et al., 2011) makes each block from a key and a counter of 128 bits: here,
        the seed, and the step and the number of the block within the global batch.
        """
        blocks = -(-units // PHILOX_BLOCK)
        first_block = tf.cast(first_row, tf.uint64) * blocks
        bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[shape[0], PHILOX_BLOCK * blocks],
            key=tf.constant([self._seed], tf.uint64),
            counter=tf.stack([first_block, tf.cast(step, tf.uint64)]),
            alg=tf.random.Algorithm.PHILOX.value,
            dtype=tf.uint32,
        )
        return _make_floats(tf.reshape(bits[:, :units], shape))

    def to_plain(self) -> keras.layers.Layer:
        """Return Keras's layer."""
        return keras.layers.Dropout(
            self._rate,
            noise_shape=self._get_noise_shape(),
            seed=self._seed,
            name=self.name,
            dtype=self.dtype_policy,
        )


def _make_floats(bits: tf.Tensor) -> tf.Tensor:
    """Return float32 in [0, 1), of uint32: the low 23 bits are the mantissa of a number in [1, 2),
    of which 1 is subtracted, as in TensorFlow's kernels.
    """
    one = tf.constant(0x3F800000, tf.uint32)  # the bits of 1.0
    mantissa = tf.bitwise.bitwise_and(bits, tf.constant(0x7FFFFF, tf.uint32))
    return tf.bitcast(tf.bitwise.bitwise_or(mantissa, one), tf.float32) - 1.0


def register_rows(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Let a layer or model be called with `step` and `first_row`, and hand them on to its layers.

    Returns:
        The same layer or model.
    """
    # Keras hands arguments on through its models only if they are registered, for which it has no
    # public function.
    for name in ("step", "first_row"):
        layer._register_call_context_args(name)
    return layer
