"""Batch norm with fused kernels, equal to Keras's layer to rounding. Heavy zone."""

from collections.abc import Callable
from typing import Any

from imgcls.backend import keras, tf

Normalized = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""The outputs, of the inputs' shape and dtype; and the mean and the biased variance of the global
batch, float32 (channels,).
"""

MIN_EPSILON = 1.001e-5
"""The smallest epsilon of the fused kernels, which replace a smaller one by it; for models whose
papers have 1e-5.
"""


class BatchNorm(keras.layers.BatchNormalization):
    """Batch norm with the statistics of the global batch (Ioffe and Szegedy, 2015).

    Weights, settings and results are those of Keras's layer. That one never uses fused kernels,
    with which the step of a small network takes 0.70 to 0.85 of the time on a CPU in float32, and
    0.45 to 0.65 in bfloat16 (bench/batch_norm.py); and over several replicas, it all-reduces three
    tensors.

    Args:
        momentum: of the moving averages, 0..1: at each step, they keep this fraction of their
            value. Short trainings need less than Keras's 0.99.
        epsilon: is added to the variance. In training, the fused kernels add at least
            `MIN_EPSILON`: with the 1e-5 of KerasHub, 1e-8 more than evaluation does.
        gamma_initializer: of the scale, "ones" or "zeros".
        scale: whether there is one.
    """

    def __init__(
        self,
        name: str,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        gamma_initializer: str = "ones",
        scale: bool = True,
    ):
        super().__init__(
            name=name,
            momentum=momentum,
            epsilon=epsilon,
            gamma_initializer=gamma_initializer,
            scale=scale,
            synchronized=tf.distribute.get_strategy().num_replicas_in_sync > 1,
        )

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalize by the statistics of the batch if training, else by the moving averages.

        Keras computes what has no fused kernels (float64, and inputs without height and width), and
        the moving averages' case, whose fused gradient is not deterministic on a GPU.

        Args:
            inputs: (batch, height, width, channels), of the same shape on all replicas.
        """
        is_fused = inputs.dtype != tf.float64 and inputs.shape.rank == 4
        if not (training and self.trainable and is_fused):
            return super().call(inputs, training)
        normalize = _normalize_synchronized if self.synchronized else _normalize
        gamma = self.gamma.value if self.scale else tf.ones_like(self.beta.value)
        outputs, mean, variance = normalize(inputs, gamma, self.beta.value, self.epsilon)
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1.0 - self.momentum))
        return outputs

    def to_plain(self) -> keras.layers.Layer:
        """Return Keras's layer; inference needs no synchronization."""
        return keras.layers.BatchNormalization.from_config(
            self.get_config() | {"synchronized": False}
        )


def _normalize(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> Normalized:
    """Normalize on one device."""
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, gamma, beta, epsilon=epsilon)
    return outputs, mean, _make_biased(variance, _count_pixels(inputs))


def _normalize_synchronized(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> Normalized:
    """Normalize over all replicas, with one all-reduce, and another one for the gradient.

    E[x^2] - E[x]^2 cancels: with a mean of 100 and a std of 1, Keras's variance has an error of
    1e-3. So the replicas compute the moments of their local batches, and combine them in float64.
    """

    def normalize(
        inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
    ) -> tuple[Normalized, Callable[..., tuple[tf.Tensor, ...]]]:
        """Return the results, and the function that computes their gradients."""
        local = _LocalStatistics(inputs, epsilon)
        local_mean, local_variance = (
            tf.cast(each, tf.float64) for each in (local.mean, local.variance)
        )
        mean, mean_square = _average_over_replicas(local_mean, local_variance + local_mean**2)
        mean, variance = tf.cast(mean, tf.float32), tf.cast(mean_square - mean**2, tf.float32)
        outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, mean, variance, epsilon, is_training=False
        )

        def compute_gradients(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
            """Return this replica's gradients (Ioffe and Szegedy, 2015, section 3)."""
            total, product = local.sum_gradients(upstream, mean)
            mean_total, mean_product = _average_over_replicas(
                total / local.pixels, product / local.pixels
            )
            inverse_std = tf.math.rsqrt(variance + epsilon)
            scale = gamma * inverse_std
            slope = scale * inverse_std**2 * mean_product
            offset = scale * mean_total - mean * slope
            gradient = tf.cast(upstream, tf.float32) * scale - (
                tf.cast(inputs, tf.float32) * slope + offset
            )
            return tf.cast(gradient, inputs.dtype), product * inverse_std, total

        return (outputs, mean, variance), compute_gradients

    return tf.custom_gradient(normalize)(inputs, gamma, beta)


class _LocalStatistics:
    """The statistics of one replica's local batch, which the fused kernels compute.

    Attributes:
        mean, variance: over the pixels, the variance biased; float32 (channels,).
        pixels: their number, float32 scalar.
    """

    def __init__(self, inputs: tf.Tensor, epsilon: float):
        self._inputs, self._epsilon = inputs, epsilon
        ones, nothing = tf.ones([inputs.shape[-1]]), tf.zeros([0])
        self._kernel_settings: dict[str, Any] = {"epsilon": epsilon, "scale": ones}
        _, self.mean, variance, *self._reserved = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            offset=tf.zeros_like(ones),
            mean=nothing,
            variance=nothing,
            **self._kernel_settings,
        )
        self.pixels = _count_pixels(inputs)
        self.variance = _make_biased(variance, self.pixels)

    def sum_gradients(self, upstream: tf.Tensor, mean: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the sums over pixels of g and g (x - mean), where g are the gradients of outputs.

        Args:
            mean: of the global batch.
        """
        reserved = {f"reserve_space_{i}": each for i, each in enumerate(self._reserved, 1)}
        _, normalized_product, total, *_ = tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=upstream, x=self._inputs, **reserved, **self._kernel_settings
        )
        # The kernel sums g (x - own mean) / own std.
        product = normalized_product * tf.sqrt(self.variance + self._epsilon)
        return total, product + (self.mean - mean) * total


def _average_over_replicas(*vectors: tf.Tensor) -> list[tf.Tensor]:
    context = tf.distribute.get_replica_context()
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.concat(vectors, 0))
    return tf.split(total / context.num_replicas_in_sync, len(vectors))


def _count_pixels(inputs: tf.Tensor) -> tf.Tensor:
    """Return the number of pixels, float32 scalar; that of elements may exceed int32."""
    _, height, width, _ = inputs.shape
    return tf.cast(tf.shape(inputs)[0] * (height * width), tf.float32)


def _make_biased(variance: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Return the biased variance, as Keras averages it; the kernels return the unbiased one.

    With one pixel, they may divide by 0.
    """
    return tf.math.multiply_no_nan(variance, (pixels - 1) / pixels)
