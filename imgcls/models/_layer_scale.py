"""Layer scale: a learned factor of each channel. Heavy zone."""

from typing import Any

from imgcls.backend import keras, tf


class LayerScale(keras.layers.Layer):
    """Multiplies each channel by a learned factor (Touvron et al., 2021, "Going deeper with image
    transformers").

    The factors have the shape of a depthwise kernel, (1, 1, channels, 1), since Keras has no layer
    that only multiplies channels, and a depthwise convolution of 1x1 does the same.

    Args:
        initial: the factors at first.
    """

    def __init__(self, initial: float, **settings: Any):
        super().__init__(**settings)
        self._initial = initial

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the factors.

        Args:
            shape: of the inputs, (batch, height, width, channels).
        """
        self.gamma = self.add_weight(
            shape=(1, 1, shape[-1], 1),
            initializer=keras.initializers.Constant(self._initial),
            name="gamma",
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the inputs times the factors of their channels."""
        gamma = keras.ops.convert_to_tensor(self.gamma)
        return inputs * tf.reshape(gamma, [-1])

    def to_plain(self) -> keras.layers.Layer:
        """Return a depthwise convolution."""
        return keras.layers.DepthwiseConv2D(
            1, use_bias=False, name=self.name, dtype=self.dtype_policy
        )
