"""What losses do to targets. Heavy zone."""

from imgcls.backend import tf


def make_dense(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return targets as probabilities, (rows, classes), in the dtype of the logits.

    Args:
        targets: labels, int64 (rows,), or probabilities (rows, classes).
    """
    if targets.dtype.is_integer:
        return tf.one_hot(targets, logits.shape[-1], dtype=logits.dtype)
    return tf.cast(targets, logits.dtype)


def smooth(targets: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Spread a fraction of each row evenly over all classes; targets as `make_dense` returns."""
    if not smoothing:
        return targets
    return targets * (1 - smoothing) + smoothing / targets.shape[-1]
