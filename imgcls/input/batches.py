"""Which examples a batch holds, and what is done to them: pure functions of (seed, step, row).
Heavy zone.

There is no shuffle buffer and no state, so that resuming at any step is a seek in constant time,
and every number of devices sees the same global batches. Rows that fill up a short last batch hold
real images, whose weight is 0: batch norm then meets nothing strange, and no replica is ever
without images.
"""

from dataclasses import dataclass

import numpy

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.datasets import SplitName
from imgcls.input import sampler
from imgcls.input.augment import augment, check_augmentations, mixes
from imgcls.input.random_crop_on_read import make_random_crop
from imgcls.store import reader_pool
from imgcls.store.reader import Reader
from imgcls.store.split_file import Split
from imgcls.store.store import Store


@dataclass(frozen=True)
class Examples:
    """The examples of a split.

    Attributes:
        images: reads images of the store when a batch needs them.
        labels: int32 (n,), of the whole store.
        indices: int64 (examples,), which images belong to the split.
        weights: how often resampling by weight draws each image of the store, float32 (n,); None
            where nothing is known of it.
    """

    images: Reader
    labels: numpy.ndarray
    indices: numpy.ndarray
    weights: numpy.ndarray | None = None

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


def make_examples(
    store: Store, split: Split, name: SplitName, images: Reader | None = None
) -> Examples:
    """Return the examples of a store's split, as the model sees them.

    Args:
        images: reads the store's images; in this process unless given.
    """
    return Examples(
        images or store.reader(split.geometry), store.labels, split.indices(name), store.weights
    )


def open_training_examples(
    store: Store, split: Split, processes: int | None
) -> tuple[Examples, Examples]:
    """Return the examples of the training split and of the validation split, which so many
    processes read where that takes work.
    """
    images = reader_pool.open_training_reader(store, split.geometry, processes)
    return make_examples(store, split, "train", images), make_examples(
        store, split, "validation", images
    )


class SequentialBatches:
    """The split's batches in the store's order, pass after pass, as they are."""

    crops_on_read = False
    """Whether what an image shows is decided when it is read."""

    def __init__(self, examples: Examples, batch_size: int):
        self.examples = examples
        self.batch_size = batch_size
        self.steps = examples.steps(batch_size)

    def positions(self, step: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return which positions of the split the rows of a step's global batch hold, int64 (batch
        size,), and their weights, float32.
        """
        return compute_batch_positions(len(self.examples), self.batch_size, step % self.steps)

    def read(self, step: int, rows: slice) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Read rows of a step's global batch; return their images, labels and weights."""
        positions, weights = self.positions(step)
        return *self.examples.rows(positions[rows]), weights[rows]

    def prepare_inputs(
        self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, first_row: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what rows `first_row`, ... of a step's global batch show to the model, and what it
        should say: both as they came.
        """
        return images, labels


class ShuffledBatches(SequentialBatches):
    """The split's batches, shuffled or drawn anew each epoch, and augmented as the experiment says.

    Args:
        classes: of the targets that mixing parts make; as many as occur unless given.
        replicas: the devices that share a batch.

    Raises:
        UserError: the augmentations do not fit the images or the devices, or there are no weights
            to draw by.
    """

    def __init__(
        self,
        examples: Examples,
        experiment: Experiment,
        classes: int | None = None,
        replicas: int = 1,
    ):
        super().__init__(examples, experiment.train.batch_size)
        check_augmentations(experiment, examples.shape[-1], self.batch_size // replicas)
        self._experiment = experiment
        self._mixes = mixes(experiment)
        self._classes = classes or int(examples.labels.max()) + 1
        self._windows = make_random_crop(experiment, examples.images, self.steps)
        self._order = sampler.make_order(
            experiment, examples.labels, examples.indices, examples.weights
        )

    def positions(self, step: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return which positions of the split the rows of a step's global batch hold, int64 (batch
        size,), and their weights, float32.
        """
        places, weights = super().positions(step)
        epoch, step = divmod(step, self.steps)
        repeats = self._experiment.train.augmentation_repeats
        if repeats == 1:
            return self._order(epoch)[places], weights
        order = self._order(epoch // repeats)
        return (
            order[sampler.repeat_positions(len(order), self.batch_size, repeats, epoch, step)],
            weights,
        )

    @property
    def crops_on_read(self) -> bool:
        """Whether what an image shows is decided when it is read, so that it cannot be kept for the
        next epoch.
        """
        return self._windows is not None

    def read(self, step: int, rows: slice) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Read rows of a step's global batch, of which augmentation may cut windows; return their
        images, labels and weights.
        """
        if self._windows is None:
            return super().read(step, rows)
        positions, weights = self.positions(step)
        chosen = self.examples.indices[positions[rows]]
        return (
            self._windows.read(chosen, step, rows.start),
            self.examples.labels[chosen],
            weights[rows],
        )

    def prepare_inputs(
        self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, first_row: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what rows `first_row`, ... of a step's global batch show to the model, uint8,
        augmented, and what it should say.

        The latter are the labels, or float32 (rows, classes) where a part mixes images.
        """
        targets = tf.one_hot(labels, self._classes) if self._mixes else labels
        return augment(
            self._experiment,
            images,
            targets,
            step,
            first_row,
            self.batch_size,
            self.steps,
            applied=self._windows.applied if self._windows else 0,
        )


def compute_batch_positions(
    count: int, batch_size: int, step: int
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return which positions of an epoch's order the rows of a global batch hold, int64
    (batch_size,), and their weights, float32.

    A weight is 1 over the number of real examples in the global batch, so that weighted sums add up
    to means over it, on any number of devices. Positions past the end are wrapped to the start and
    weigh 0.
    """
    positions = step * batch_size + numpy.arange(batch_size)
    real = positions < count
    return positions % count, (real / real.sum()).astype(numpy.float32)
