"""From the store to batches on the devices: what a batch holds is a pure function of (seed, step, row). Heavy zone.

There is no shuffle buffer and no state, so that resuming at any step is a seek in constant time, and every number of devices sees
the same global batches. Rows that fill up a short last batch hold real images, whose weight is 0: batch norm then meets nothing strange,
and no replica is ever without images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy

from imgcls.augment import augment
from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.seeds import sub_seed

Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


@dataclass(frozen=True)
class Examples:
    """The examples of a split.

    Attributes:
        images: uint8 (n, height, width, channels); may be memory-mapped, since rows are read when a batch needs them.
        labels: int32 (n,).
        indices: int64 (examples,), which rows belong to the split.
    """

    images: numpy.ndarray
    labels: numpy.ndarray
    indices: numpy.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def steps(self, batch_size: int) -> int:
        """The batches of one pass, the last one filled up."""
        return -(-len(self) // batch_size)

    def rows(self, positions: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return the images and labels at positions of the split."""
        index = self.indices[positions]
        return self.images[index], self.labels[index]


@lru_cache(maxsize=2)
def epoch_order(count: int, seed: int, epoch: int) -> numpy.ndarray:
    """Return the order in which an epoch meets `count` examples: a permutation, int64 (count,), known by (seed, epoch) alone.

    Any epoch's order costs the same, 20 ms for a million examples; two are kept, since the batches of neighbours overlap in time.
    tf.random.experimental.index_shuffle would need no memory, but leaves neighbours correlated (0.03 at 54,000, lag 1).
    """
    return numpy.random.Generator(numpy.random.Philox(key=[seed, epoch])).permutation(count)


def training_batches(experiment: Experiment, examples: Examples, start: int, stop: int, replicas: int) -> tf.data.Dataset:
    """Return the batches of steps start, ..., stop - 1, shuffled anew each epoch and augmented.

    Args:
        replicas: by how many devices each global batch is shared.

    Returns:
        For each step one element a replica, in replica order: (images uint8 (rows, height, width, channels), labels int32 (rows,), weights
        float32 (rows,)), with rows = batch size / replicas. A weight is 1 over the number of real examples in the global batch,
        or 0 for a row that fills it up, so that weighted sums add up to means over the global batch.
    """
    batch_size, seed = experiment.train.batch_size, sub_seed(experiment.seed, "order")
    steps, rows = examples.steps(batch_size), batch_size // replicas

    def read(element: numpy.int64) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        epoch, step = divmod(int(element) // replicas, steps)
        positions, weights = batch_positions(len(examples), batch_size, step)
        own = slice(int(element) % replicas * rows, (int(element) % replicas + 1) * rows)
        return *examples.rows(epoch_order(len(examples), seed, epoch)[positions[own]]), weights[own]

    def batch(element: tf.Tensor) -> Batch:
        images, labels, weights = _call(read, element, examples, rows)
        return augment(experiment, images, element // replicas, element % replicas * rows, batch_size), labels, weights

    return _ahead(tf.data.Dataset.range(start * replicas, stop * replicas), batch)


def ordered_batches(examples: Examples, batch_size: int, replicas: int) -> tf.data.Dataset:
    """Return the split's batches in the store's order, pass after pass without end; elements as in `training_batches`."""
    rows = batch_size // replicas

    def read(element: numpy.int64) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        positions, weights = batch_positions(len(examples), batch_size, int(element) // replicas)
        own = slice(int(element) % replicas * rows, (int(element) % replicas + 1) * rows)
        return *examples.rows(positions[own]), weights[own]

    def batch(element: tf.Tensor) -> Batch:
        return _call(read, element, examples, rows)

    return _ahead(tf.data.Dataset.range(examples.steps(batch_size) * replicas).repeat(), batch)


def distribute(strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """Hand the elements of a dataset to the replicas in turn, each copied to its device ahead of its use."""
    return strategy.distribute_datasets_from_function(lambda context: batches)


def batch_positions(count: int, batch_size: int, step: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return which positions of an epoch's order the rows of a global batch hold, int64 (batch_size,), and their weights, float32.

    Positions past the end are wrapped to the start and weigh 0.
    """
    positions = step * batch_size + numpy.arange(batch_size)
    real = positions < count
    return positions % count, (real / real.sum()).astype(numpy.float32)


def _call(read: Callable[..., tuple], element: tf.Tensor, examples: Examples, rows: int) -> Batch:
    """Run numpy code in the dataset, and tell TensorFlow the shapes that it returns."""
    # stateful=False: op determinism would run stateful calls one after the other.
    images, labels, weights = tf.numpy_function(read, [element], [tf.uint8, tf.int32, tf.float32], stateful=False)
    return tf.ensure_shape(images, [rows, *examples.images.shape[1:]]), tf.ensure_shape(labels, [rows]), tf.ensure_shape(weights, [rows])


def _ahead(elements: tf.data.Dataset, batch: Callable[[tf.Tensor], Batch]) -> tf.data.Dataset:
    """Make batches in parallel, in order, ahead of their use."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = elements.map(tf.autograph.experimental.do_not_convert(batch), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
