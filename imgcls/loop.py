"""The training loop's compiled core: steps on every replica, and a pass over a split. Heavy zone.

Sums over examples (loss, correct, count) are carried through the steps as one float64 vector, not in metric variables: a resumed run
then adds the same numbers in the same order.
"""

import time
from collections.abc import Callable, Iterator

import numpy

from imgcls.backend import keras, tf
from imgcls.pipeline import Batch

LOSS, CORRECT, COUNT, WAIT = range(4)
"""The entries of the vector of sums: cross-entropy, right predictions, examples, and seconds that the device waited for data, of which
the first step of a call is timed and stands for all."""


def no_sums() -> numpy.ndarray:
    """Return the vector of sums before the first step."""
    return numpy.zeros(4, numpy.float64)


class Steps:
    """Compiled training and evaluation steps of one model, under the strategy in whose scope it was built."""

    def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model, optimizer: keras.optimizers.Optimizer):
        self._strategy = strategy
        self._model = model
        self._optimizer = optimizer
        self._train = tf.function(self._run_training)
        self._evaluate = tf.function(self._run_evaluation)

    def train(self, batches: Iterator[Batch], count: int, sums: numpy.ndarray) -> numpy.ndarray:
        """Take `count` steps; return the sums with those of the steps added."""
        return self._train(batches, tf.constant(count), tf.constant(sums)).numpy()

    def evaluate(self, batches: Iterator[Batch], count: int) -> numpy.ndarray:
        """Run the model on `count` batches; return the sums over their examples."""
        return self._evaluate(batches, tf.constant(count), tf.constant(no_sums())).numpy()

    def _run_training(self, batches: Iterator[Batch], count: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        return self._run(self._training_step, batches, count, sums)

    def _run_evaluation(self, batches: Iterator[Batch], count: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        return self._run(self._evaluation_step, batches, count, sums)

    def _run(self, step: Callable[..., tf.Tensor], batches: Iterator[Batch], count: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        for i in tf.range(count):
            batch, wait = _timed_next(batches, sums, timed=tf.equal(i, 0))
            per_replica = self._strategy.run(step, args=batch)
            sums += self._strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
            sums += tf.one_hot(WAIT, 4, wait * tf.cast(count, tf.float64), tf.zeros([], tf.float64), dtype=tf.float64)
        return sums

    def _training_step(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = self._model(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_sum(losses * tf.cast(weights, losses.dtype))
            # The gradients of all replicas are added up, so each takes its share of the penalty, which all compute in full.
            loss += tf.add_n(self._model.losses) / self._strategy.num_replicas_in_sync if self._model.losses else 0.0
            scaled = self._optimizer.scale_loss(loss)
        variables = self._model.trainable_variables
        gradients = tape.gradient(scaled, variables)
        self._optimizer.apply(self._agreed(gradients), variables)
        return _sums(losses, logits, labels, weights)

    def _evaluation_step(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        logits = self._model(images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return _sums(losses, logits, labels, weights)

    def _agreed(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Make an overflow on one replica one on all, before the loss scale looks at it.

        Keras's LossScaleOptimizer looks at a replica's own gradients; replicas that disagree give NaN weights, or a hang.
        """
        if not isinstance(self._optimizer, keras.optimizers.LossScaleOptimizer) or self._strategy.num_replicas_in_sync == 1:
            return gradients
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        bad_replicas = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.where(finite, 0.0, 1.0))
        return [tf.where(bad_replicas > 0, tf.constant(float("nan"), gradient.dtype), gradient) for gradient in gradients]


def _timed_next(batches: Iterator[Batch], after: tf.Tensor, timed: tf.Tensor) -> tuple[Batch, tf.Tensor]:
    """Return the next batch, and for how many seconds it was waited for once `after` was there; 0 where `timed` is false."""
    with tf.control_dependencies([after]):
        start = _clock(timed)
    with tf.control_dependencies([start]):
        batch = next(batches)
    with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
        return batch, _clock(timed) - start


def _clock(wanted: tf.Tensor) -> tf.Tensor:
    """Return the time in seconds, or 0 where it is not wanted: a look costs 0.2 ms, which is why only one step a call is timed.

    tf.timestamp would be faster, but refuses to run under op determinism.
    """
    return tf.cond(wanted, _time, lambda: tf.zeros([], tf.float64))


def _time() -> tf.Tensor:
    return tf.ensure_shape(tf.numpy_function(lambda: numpy.float64(time.perf_counter()), [], tf.float64), [])


def _sums(losses: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    real = tf.cast(weights > 0, tf.float64)
    correct = tf.cast(tf.equal(tf.argmax(logits, axis=-1, output_type=labels.dtype), labels), tf.float64)
    # where, not a product: a filling row's loss may overflow, and 0 times infinity is NaN.
    loss = tf.reduce_sum(tf.where(real > 0, tf.cast(losses, tf.float64), 0.0))
    return tf.stack([loss, tf.reduce_sum(correct * real), tf.reduce_sum(real), tf.zeros([], tf.float64)])
