"""Augmentation while images are read: where they are stored larger than the model sees them, only a
window need be decoded. Heavy zone.
"""

import numpy

from imgcls import parts
from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.image import resize
from imgcls.input.augment import StatelessRandom, iterate_with_keys
from imgcls.store.reader import Reader


class RandomCropOnRead:
    """Cuts the windows that an experiment's first augmentation random, one of the parts that have a
    function `windows`.

    Where the second one is a mirroring, a part with a function `mirrored`, it is done here too: at
    a tenth of what it costs on a batch.

    Attributes:
        applied: how many of the experiment's augmentations that makes.
    """

    def __init__(self, experiment: Experiment, reader: Reader, steps_per_epoch: int):
        self._reader = reader
        self._batch_size = experiment.train.batch_size
        first, *others = iterate_with_keys(experiment)
        self._parts = [
            first,
            *[
                each
                for each in others[:1]
                if hasattr(parts.load_for("augmentations", each[0]), "draw_flips")
            ],
        ]
        self._ends = [
            settings.find_end(experiment.train.epochs, steps_per_epoch)
            for settings, _ in self._parts
        ]
        self.applied = len(self._parts)
        self._compiled = tf.function(self._draw, autograph=False)

    def read(self, indices: numpy.ndarray, step: int, first_row: int) -> numpy.ndarray:
        """Return the images at some places of the store as rows `first_row`, ... of a step's global
        batch, uint8, at the reader's geometry.

        A part whose `until` is over does nothing: the image is then read whole, or as it lies.
        """
        sizes = self._reader.sizes(indices)
        with tf.device("CPU:0"):
            drawn = self._compiled(
                tf.constant(step, tf.int64), tf.constant(first_row, tf.int64), tf.constant(sizes)
            )
        windows, mirrored = (each.numpy() for each in drawn)
        if step < self._ends[0]:
            return self._reader.crop(indices, windows, mirrored)
        images = self._reader.read(indices)
        resize.flip_images(images, mirrored)
        return images

    def _draw(
        self, step: tf.Tensor, first_row: tf.Tensor, sizes: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return windows, int32 (rows, 4), and which rows are mirrored, bool (rows,)."""
        random = [
            StatelessRandom(key, step, first_row, sizes.shape[0], self._batch_size)
            for _, key in self._parts
        ]
        (first, _), *second = self._parts
        windows = parts.load_for("augmentations", first).draw_crops(
            first, random[0], sizes[:, 0], sizes[:, 1]
        )
        mirrored = tf.zeros(sizes.shape[0], tf.bool)
        for settings, _ in second:
            mirrored = parts.load_for("augmentations", settings).draw_flips(settings, random[1]) & (
                step < self._ends[1]
            )
        return windows, mirrored


def make_random_crop(
    experiment: Experiment, reader: Reader, steps_per_epoch: int
) -> RandomCropOnRead | None:
    """Return what cuts windows on reading; None where the first augmentation draws none, or images
    are stored as the model sees them.

    Args:
        steps_per_epoch: by which it is known whether a part's `until` is over.
    """
    if (
        reader.larger
        and experiment.augment
        and hasattr(parts.load_for("augmentations", experiment.augment[0]), "draw_crops")
    ):
        return RandomCropOnRead(experiment, reader, steps_per_epoch)
    return None
