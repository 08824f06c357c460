"""Statistics of batch norm, estimated again with fixed weights. Heavy zone."""

import contextlib
from collections.abc import Iterator

import numpy

from imgcls.backend import keras, tf
from imgcls.input.iterators import BatchIterator
from imgcls.training.accumulation import Accumulation
from imgcls.training.executions import Executions


class BatchNormStatistics:
    """Estimates the mean and variance by which batch norm normalizes in evaluation.

    The moving averages are those of weights that have changed meanwhile, and never those of
    averaged weights. Here, the weights do not change: the moments of each batch, which is
    normalized by its own as in training, are averaged exactly, E[x] and E[x^2] in float64 (Wu and
    Johnson, "Rethinking batch in BatchNorm", 2021, section 3.2; torch.optim.swa_utils.update_bn
    averages the variances of the batches instead, without that of their means).

    Args:
        layers: their averages are estimated.
        accumulation_steps: micro-batches per replica and step, whose moments are averaged.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        layers: list[keras.layers.BatchNormalization],
        accumulation_steps: int,
    ):
        self._strategy = strategy
        self._model = model
        self._layers = layers
        self._accumulation = Accumulation(accumulation_steps, strategy)
        self._executions = Executions(strategy)
        self._entries = 2 * sum(layer.moving_mean.shape[0] for layer in layers)

    def estimate(self, iterator: BatchIterator, first_step: int, count: int) -> None:
        """Assign the statistics of `count` batches, from `first_step` on, to the moving averages.

        Args:
            iterator: at `first_step`.
        """
        # Around the call that may trace, since replicas are traced in threads, in turns.
        with _use_batches_alone(self._layers):
            rows, _ = self._executions.run(
                self._sum_moments, iterator, first_step, numpy.zeros(count), self._entries
            )
        means, mean_squares = numpy.split(rows.mean(axis=0), 2)
        variances = numpy.maximum(mean_squares - means**2, 0.0)
        start = 0
        for layer in self._layers:
            end = start + layer.moving_mean.shape[0]
            layer.moving_mean.assign(means[start:end])
            layer.moving_variance.assign(variances[start:end])
            start = end

    def _sum_moments(self, step: tf.Tensor, rate: tf.Tensor, *batch: tf.Tensor) -> tf.Tensor:
        """Return this replica's contribution to E[x] and E[x^2] of a batch, for all layers."""
        local_rows = batch[0].shape[0]
        first_row = tf.distribute.get_replica_context().replica_id_in_sync_group * local_rows
        micro_rows = local_rows // self._accumulation.steps

        def compute(
            i: tf.Tensor, images: tf.Tensor, *_: tf.Tensor
        ) -> tuple[list[tf.Tensor], tf.Tensor]:
            """Return no gradients, and the moments of a micro-batch."""
            with _use_batches_alone(self._layers):
                self._model(images, training=True, step=step, first_row=first_row + i * micro_rows)
            # Read after they were assigned: TensorFlow keeps the order.
            means = tf.concat([_read(layer.moving_mean) for layer in self._layers], 0)
            variances = tf.concat([_read(layer.moving_variance) for layer in self._layers], 0)
            return [], tf.concat([means, variances + means**2], 0)

        _, total = self._accumulation.add_up(compute, batch, [], self._entries)
        return total / (self._accumulation.steps * self._strategy.num_replicas_in_sync)


def _read(variable: keras.Variable) -> tf.Tensor:
    return tf.cast(variable.value, tf.float64)


@contextlib.contextmanager
def _use_batches_alone(layers: list[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Let the moving averages be the statistics of the last batch, in what is traced meanwhile."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
