"""Random crops while images are read: only the crop of a larger image is decoded. Heavy zone."""

import numpy

from imgcls import parts
from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.image import resize
from imgcls.input.augment import StatelessRandom, iterate_with_keys
from imgcls.store.reader import Reader
from imgcls.training.plan import count_epochs


class RandomCropOnRead:
    """Applies an experiment's first augmentation, a part with a function `draw_crops`, on reading.

    If the second one is a flip, a part with a function `draw_flips`, it is applied too, at a tenth
    of what it costs on a batch.

    Attributes:
        applied: how many of the experiment's augmentations are applied on reading.
    """

    def __init__(self, experiment: Experiment, reader: Reader, steps_per_epoch: int):
        self._reader = reader
        self._batch_size = experiment.train.batch_size
        first, *others = iterate_with_keys(experiment)
        self._augmentations = [
            first,
            *[
                each
                for each in others[:1]
                if hasattr(parts.load_for("augmentations", each[0]), "draw_flips")
            ],
        ]
        self._ends = [
            settings.find_end(count_epochs(experiment.train), steps_per_epoch)
            for settings, _ in self._augmentations
        ]
        self.applied = len(self._augmentations)
        self._compiled = tf.function(self._draw, autograph=False)

    def read(self, indices: numpy.ndarray, step: int, first_row: int) -> numpy.ndarray:
        """Read images of the store, to be rows `first_row`, ... of a step's global batch.

        An augmentation whose `until` is reached is not applied.

        Args:
            indices: of the images, int64 (rows,).

        Returns:
            uint8 (rows, height, width, channels), at the reader's geometry.
        """
        sizes = self._reader.get_sizes(indices)
        with tf.device("CPU:0"):
            parameters = self._compiled(
                tf.constant(step, tf.int64), tf.constant(first_row, tf.int64), tf.constant(sizes)
            )
        crops, flips = (each.numpy() for each in parameters)
        if step < self._ends[0]:
            return self._reader.crop(indices, crops, flips)
        images = self._reader.read(indices)
        resize.flip_images(images, flips)
        return images

    def _draw(
        self, step: tf.Tensor, first_row: tf.Tensor, sizes: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw crops, int32 (rows, 4), and which rows are flipped, bool (rows,)."""
        random = [
            StatelessRandom(key, step, first_row, sizes.shape[0], self._batch_size)
            for _, key in self._augmentations
        ]
        (first, _), *second = self._augmentations
        crops = parts.load_for("augmentations", first).draw_crops(
            first, random[0], sizes[:, 0], sizes[:, 1]
        )
        flips = tf.zeros(sizes.shape[0], tf.bool)
        for settings, _ in second:
            flips = parts.load_for("augmentations", settings).draw_flips(settings, random[1]) & (
                step < self._ends[1]
            )
        return crops, flips


def make_random_crop(
    experiment: Experiment, reader: Reader, steps_per_epoch: int
) -> RandomCropOnRead | None:
    """Return the random crop on reading; None if it would not save work.

    That is: images are stored at the size that the model sees, or the first augmentation does not
    crop.

    Args:
        steps_per_epoch: needed to know when an augmentation's `until` is reached.
    """
    if (
        reader.needs_resize
        and experiment.augment
        and hasattr(parts.load_for("augmentations", experiment.augment[0]), "draw_crops")
    ):
        return RandomCropOnRead(experiment, reader, steps_per_epoch)
    return None
