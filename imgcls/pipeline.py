"""Which examples a batch holds, and what is done to them: pure functions of (seed, step, row). Heavy zone.

There is no shuffle buffer and no state, so that resuming at any step is a seek in constant time, and every number of devices sees
the same global batches. Rows that fill up a short last batch hold real images, whose weight is 0: batch norm then meets nothing strange,
and no replica is ever without images.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy

from imgcls.augment import augment
from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.reading import Reader
from imgcls.seeds import sub_seed


@dataclass(frozen=True)
class Examples:
    """The examples of a split.

    Attributes:
        images: reads images of the store when a batch needs them.
        labels: int32 (n,), of the whole store.
        indices: int64 (examples,), which images belong to the split.
    """

    images: Reader
    labels: numpy.ndarray
    indices: numpy.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.images.geometry.shape

    @property
    def nbytes(self) -> int:
        """The bytes of the split's images."""
        return len(self) * int(numpy.prod(self.shape))

    def steps(self, batch_size: int) -> int:
        """The batches of one pass, the last one filled up."""
        return -(-len(self) // batch_size)

    def rows(self, positions: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return the images and labels at positions of the split."""
        index = self.indices[positions]
        return self.images.read(index), self.labels[index]


class InOrder:
    """The split's batches in the store's order, pass after pass, as they are."""

    def __init__(self, examples: Examples, batch_size: int):
        self.examples = examples
        self.batch_size = batch_size
        self.steps = examples.steps(batch_size)

    def positions(self, step: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return which positions of the split the rows of a step's global batch hold, int64 (batch size,), and their weights, float32."""
        return batch_positions(len(self.examples), self.batch_size, step % self.steps)

    def prepared(self, images: tf.Tensor, step: tf.Tensor, first_row: tf.Tensor) -> tf.Tensor:
        """Return the images that rows `first_row`, ... of a step's global batch show to the model; uint8, as they came."""
        return images


class Shuffled(InOrder):
    """The split's batches, shuffled anew each epoch and augmented as the experiment says."""

    def __init__(self, examples: Examples, experiment: Experiment):
        super().__init__(examples, experiment.train.batch_size)
        self._experiment = experiment
        self._seed = sub_seed(experiment.seed, "order")

    def positions(self, step: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return which positions of the split the rows of a step's global batch hold, int64 (batch size,), and their weights, float32."""
        places, weights = super().positions(step)
        return epoch_order(len(self.examples), self._seed, step // self.steps)[places], weights

    def prepared(self, images: tf.Tensor, step: tf.Tensor, first_row: tf.Tensor) -> tf.Tensor:
        """Return the images that rows `first_row`, ... of a step's global batch show to the model; uint8, augmented."""
        return augment(self._experiment, images, step, first_row, self.batch_size)


@lru_cache(maxsize=2)
def epoch_order(count: int, seed: int, epoch: int) -> numpy.ndarray:
    """Return the order in which an epoch meets `count` examples: a permutation, int64 (count,), known by (seed, epoch) alone.

    Any epoch's order costs the same, 20 ms for a million examples; two are kept, since the batches of neighbours overlap in time.
    tf.random.experimental.index_shuffle would need no memory, but leaves neighbours correlated (0.03 at 54,000, lag 1).
    """
    return numpy.random.Generator(numpy.random.Philox(key=[seed, epoch])).permutation(count)


def batch_positions(count: int, batch_size: int, step: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return which positions of an epoch's order the rows of a global batch hold, int64 (batch_size,), and their weights, float32.

    A weight is 1 over the number of real examples in the global batch, so that weighted sums add up to means over it, on any number
    of devices. Positions past the end are wrapped to the start and weigh 0.
    """
    positions = step * batch_size + numpy.arange(batch_size)
    real = positions < count
    return positions % count, (real / real.sum()).astype(numpy.float32)
