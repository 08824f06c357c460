"""Dropout whose masks are a function of the number of the forward pass. Heavy zone.

Keras's layer counts its forward passes in a variable. On a GPU, each step would wait until the
number has reached the host, where TensorFlow seeds random numbers.
"""

from typing import Any

from imgcls.backend import keras, tf

MAX_SEED = tf.int32.max - 1
"""Keras computes seeds modulo this number."""


class Dropout(keras.layers.Layer):
    """Sets a fraction of the inputs to 0 in training, and scales the others (Srivastava et al.,
    2014), with the masks of Keras's layer of the same seed.

    A model with this layer is called with the number of the forward pass: see
    `register_forward_pass`.

    Args:
        rate: the fraction, 0..1.
    """

    def __init__(self, rate: float, seed: int, **settings: Any):
        super().__init__(**settings)
        self._rate = rate
        self._seed = seed
        register_forward_pass(self)

    def call(
        self, inputs: tf.Tensor, training: bool = False, forward_pass: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return the inputs, with some of them dropped in training.

        Args:
            forward_pass: counted from 0, int32 scalar; int32 lies in host memory on a GPU.
        """
        if not training or self._rate == 0:
            return inputs
        seed = tf.stack([tf.constant(self._seed % MAX_SEED, tf.int32), forward_pass])
        return tf.nn.experimental.stateless_dropout(inputs, self._rate, seed)

    def to_plain(self) -> keras.layers.Layer:
        """Return Keras's layer of the same seed."""
        return keras.layers.Dropout(
            self._rate, seed=self._seed, name=self.name, dtype=self.dtype_policy
        )


def register_forward_pass(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Let a layer or model be called with `forward_pass`, and hand it on to its own layers.

    Returns:
        The same layer or model.
    """
    layer._register_call_context_args("forward_pass")
    return layer
