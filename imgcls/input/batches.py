"""Which examples a batch holds, and how they are augmented. Heavy zone.

All of it is a pure function of (seed, step, row): without a shuffle buffer or other state, training
resumes at any step in constant time, and sees the same global batches on any number of devices. A
short last batch is padded with real images of weight 0, which do not disturb batch norm, so that no
replica is ever without images.
"""

from dataclasses import dataclass

import numpy

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.datasets import SplitName
from imgcls.input import sampler
from imgcls.input.augment import augment, check_augmentations, mixes_images
from imgcls.input.random_crop_on_read import make_random_crop
from imgcls.store import reader_pool
from imgcls.store.reader import Reader
from imgcls.store.split_file import Split
from imgcls.store.store import Store

LocalBatch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""A replica's rows of a global batch: images uint8 (rows, height, width, channels); labels int64
(rows,), or targets float32 (rows, classes) if images are mixed; weights float32 (rows,). Labels are
int64, since what a GPU computes in int32 goes through the host's memory."""


@dataclass(frozen=True)
class Examples:
    """The examples of a split.

    Attributes:
        reader: reads images of the store when a batch needs them.
        labels: of the whole store, int32 (n,).
        indices: of the images that belong to the split, int64 (examples,).
        weights: of all images of the store, for sampling by weight, float32 (n,); None if the data
            set has none.
    """

    reader: Reader
    labels: numpy.ndarray
    indices: numpy.ndarray
    weights: numpy.ndarray | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.reader.geometry.shape

    @property
    def nbytes(self) -> int:
        """The size of all images of the split, in bytes."""
        return len(self) * int(numpy.prod(self.shape))

    def count_batches(self, batch_size: int) -> int:
        """Return the number of batches in one pass, a short last one included."""
        return -(-len(self) // batch_size)

    def read(self, positions: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Read the images at positions of the split; return them and their labels."""
        indices = self.indices[positions]
        return self.reader.read(indices), self.labels[indices]

    def read_all(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Read all images of the split; return them and their labels."""
        return self.read(numpy.arange(len(self)))


def make_examples(
    store: Store, split: Split, name: SplitName, reader: Reader | None = None
) -> Examples:
    """Return the examples of one split of a store, with images of the size that the model sees.

    Args:
        reader: of the store's images; a reader in this process unless given.
    """
    return Examples(
        reader or store.open_reader(split.geometry),
        store.labels,
        split.get_indices(name),
        store.weights,
    )


def open_training_examples(
    store: Store, split: Split, data_workers: int | None
) -> tuple[Examples, Examples]:
    """Return the examples of the training and of the validation split, with a common reader.

    Args:
        data_workers: how many read images that must be decoded or resized; one per core unless
            given.
    """
    reader = reader_pool.open_reader(store, split.geometry, data_workers)
    return make_examples(store, split, "train", reader), make_examples(
        store, split, "validation", reader
    )


class SequentialBatches:
    """The batches of a split in the store's order, pass after pass, without augmentation."""

    def __init__(self, examples: Examples, batch_size: int):
        self.examples = examples
        self.batch_size = batch_size
        self.steps_per_epoch = examples.count_batches(batch_size)

    def compute_positions(self, step: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return the positions in the split that a step's global batch consists of, and weights.

        Returns:
            int64 (batch_size,) and float32 (batch_size,), as `compute_batch_positions` does.
        """
        return compute_batch_positions(
            len(self.examples), self.batch_size, step % self.steps_per_epoch
        )

    def get_indices(self, step: int) -> numpy.ndarray:
        """Return the indices of a step's images in the store, without padding, int64 (images,)."""
        positions, weights = self.compute_positions(step)
        return self.examples.indices[positions[weights > 0]]

    @property
    def augments(self) -> bool:
        """Whether `prepare_inputs` augments images."""
        return False

    @property
    def crops_on_read(self) -> bool:
        """Whether images are cropped when they are read, so that no epoch can reuse them."""
        return False

    def read(self, step: int, rows: slice) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Read rows of a step's global batch; return their images, labels and weights."""
        positions, weights = self.compute_positions(step)
        return *self.examples.read(positions[rows]), weights[rows]

    def prepare_inputs(
        self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, first_row: tf.Tensor | int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the model's inputs and targets for rows `first_row`, ... of a step's global batch.

        Here, they are the images and labels themselves.
        """
        return images, labels


class ShuffledBatches(SequentialBatches):
    """The batches of a split, shuffled or sampled anew each epoch, and augmented.

    Args:
        classes: number of classes in mixed targets; the number of labels unless given.
        replicas: number of devices that a batch is divided among.

    Raises:
        UserError: the augmentations do not suit the images or the number of devices, or there are
            no weights to sample by.
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
        self._mixes_images = mixes_images(experiment)
        self._classes = classes or int(examples.labels.max()) + 1
        self._crop = make_random_crop(experiment, examples.reader, self.steps_per_epoch)
        self._order_epoch = sampler.make_sampler(
            experiment, examples.labels, examples.indices, examples.weights
        )

    def compute_positions(self, step: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return the positions in the split that a step's global batch consists of, and weights.

        Returns:
            int64 (batch_size,) and float32 (batch_size,), as `compute_batch_positions` does.
        """
        positions, weights = super().compute_positions(step)
        epoch, step = divmod(step, self.steps_per_epoch)
        augmentation_repeats = self._experiment.train.augmentation_repeats
        order = self._order_epoch(epoch // augmentation_repeats)
        if augmentation_repeats > 1:
            positions = sampler.repeat_positions(
                len(order), self.batch_size, augmentation_repeats, epoch, step
            )
        return order[positions], weights

    @property
    def augments(self) -> bool:
        """Whether `prepare_inputs` augments images."""
        return bool(self._experiment.augment)

    @property
    def crops_on_read(self) -> bool:
        """Whether images are cropped when they are read, so that no epoch can reuse them."""
        return self._crop is not None

    def read(self, step: int, rows: slice) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Read rows of a step's global batch, cropped if the first augmentation is done on reading.

        Returns:
            Their images, labels and weights.
        """
        if self._crop is None:
            return super().read(step, rows)
        positions, weights = self.compute_positions(step)
        indices = self.examples.indices[positions[rows]]
        return (
            self._crop.read(indices, step, rows.start),
            self.examples.labels[indices],
            weights[rows],
        )

    def prepare_inputs(
        self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, first_row: tf.Tensor | int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the model's inputs and targets for rows `first_row`, ... of a step's global batch.

        Returns:
            The augmented images, uint8; and the labels, or float32 (rows, classes) if an
            augmentation mixes images.
        """
        targets = tf.one_hot(labels, self._classes) if self._mixes_images else labels
        return augment(
            self._experiment,
            images,
            targets,
            step,
            first_row,
            self.batch_size,
            self.steps_per_epoch,
            applied=self._crop.applied if self._crop else 0,
        )


def compute_batch_positions(
    count: int, batch_size: int, step: int
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the positions in an epoch's order that a global batch consists of, and their weights.

    A weight is 1 over the number of real examples in the global batch, so that weighted sums over
    all devices are means over the batch. Positions past the end wrap around to the start, with
    weight 0.

    Args:
        step: within the epoch.

    Returns:
        int64 (batch_size,) and float32 (batch_size,).
    """
    positions = step * batch_size + numpy.arange(batch_size)
    real = positions < count
    return positions % count, (real / real.sum()).astype(numpy.float32)
