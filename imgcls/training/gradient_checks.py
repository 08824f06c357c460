"""Checks of gradients that are not finite, inside a training step. Heavy zone."""

from imgcls.backend import keras, tf


def count_nonfinite(gradients: list[tf.Tensor], optimizer: keras.optimizers.Optimizer) -> tf.Tensor:
    """Return the number of gradients that are not finite, float64 scalar.

    Always 0 with a loss scale: it provokes overflows, and skips such steps.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.zeros([], tf.float64)
    # The sum of a gradient is not finite if one of its elements is not, or if it overflows, and
    # training could not survive gradients of that size.
    sums = tf.stack([tf.reduce_sum(gradient) for gradient in gradients])
    return tf.reduce_sum(tf.cast(~tf.math.is_finite(sums), tf.float64))


def synchronize_overflow(
    gradients: list[tf.Tensor], optimizer: keras.optimizers.Optimizer, replicas: int
) -> list[tf.Tensor]:
    """Set the gradients to NaN on every replica if those of any replica overflowed.

    Keras's LossScaleOptimizer checks each replica's gradients separately. If only some replicas
    skipped the step, the weights would become NaN, or training would hang.

    Args:
        replicas: number of them, on all workers.
    """
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or replicas == 1:
        return gradients
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
    overflows = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, tf.where(finite, 0.0, 1.0)
    )
    return [
        tf.where(overflows > 0, tf.constant(float("nan"), gradient.dtype), gradient)
        for gradient in gradients
    ]
