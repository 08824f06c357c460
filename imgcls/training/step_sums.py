"""Sums over the examples of training or evaluation steps. Heavy zone.

Loss, correct predictions and count pass through the steps as one float64 vector instead of metric
variables, so that a resumed run adds the same numbers in the same order.
"""

import numpy

from imgcls.backend import tf

ENTRIES = 6
LOSS, CORRECT, COUNT, WAIT, NONFINITE_GRADIENTS, FINITE_STEPS = range(ENTRIES)
"""Indices into the vector of sums: loss, correct predictions, examples, seconds that the device
waited for data, gradients that were not finite, and steps before the first one with a loss or
gradient that was not finite.
"""


def make_zeros() -> numpy.ndarray:
    """Return the vector of sums before the first step, float64 (ENTRIES,)."""
    return numpy.zeros(ENTRIES, numpy.float64)


def compute_means(sums: numpy.ndarray) -> tuple[float, float]:
    """Return mean loss and accuracy from the vector of sums."""
    return float(sums[LOSS] / sums[COUNT]), float(sums[CORRECT] / sums[COUNT])


def add(sums: numpy.ndarray, rows: numpy.ndarray, wait: float) -> numpy.ndarray:
    """Return the sums including further steps.

    Args:
        sums: over the steps so far, float64 (ENTRIES,).
        rows: the sums of each further step, float64 (steps, ENTRIES).
        wait: seconds that the devices waited for their data.
    """
    total = sums.copy()
    total[WAIT] += wait
    for row in rows:
        total += row
        total[FINITE_STEPS] += numpy.isfinite(total[LOSS]) and total[NONFINITE_GRADIENTS] == 0
    return total


def compute(
    losses: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Return a micro-batch's vector of sums, without its padding: float64 (ENTRIES,).

    Args:
        labels: int64 (rows,), or targets float32 (rows, classes).
    """
    real = tf.cast(weights > 0, tf.float64)
    if not labels.dtype.is_integer:
        labels = tf.argmax(labels, axis=-1)
    correct = tf.cast(tf.equal(tf.argmax(logits, axis=-1), labels), tf.float64)
    # tf.where, not a product: the loss of a padding row may overflow, and 0 * inf is NaN.
    loss = tf.reduce_sum(tf.where(real > 0, tf.cast(losses, tf.float64), 0.0))
    others = [tf.zeros([], tf.float64)] * (ENTRIES - 3)
    return tf.stack([loss, tf.reduce_sum(correct * real), tf.reduce_sum(real), *others])


def make_entry(index: int, value: tf.Tensor) -> tf.Tensor:
    """Return a vector of sums that is 0 except for one entry, float64 (ENTRIES,)."""
    return tf.one_hot(index, ENTRIES, value, tf.zeros([], tf.float64), dtype=tf.float64)
