"""Windows that are cut while an image is read: where stored images are larger than what the model sees, all else need not be decoded.
Heavy zone."""

import numpy

from imgcls import parts
from imgcls.augment import StatelessDraws, keys
from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.reading import Reader


class Windows:
    """The windows that an experiment's first augmentation draws, one of the parts that have a function `windows`.

    Args:
        steps_per_epoch: by which it is known whether the part's `until` is over.
    """

    def __init__(self, experiment: Experiment, steps_per_epoch: int):
        self._settings, self._key = next(keys(experiment))
        self._end = self._settings.epochs(of=experiment.train.epochs) * steps_per_epoch
        self._batch_size = experiment.train.batch_size
        self._compiled = tf.function(self._draw, autograph=False)

    def open(self, step: int) -> bool:
        """Tell whether windows are cut at a step."""
        return step < self._end

    def drawn(self, step: int, first_row: int, sizes: numpy.ndarray) -> numpy.ndarray:
        """Return a window for each of the rows `first_row`, ... of a step's global batch, int32 (rows, 4): top, left, height, width.

        Args:
            sizes: int32 (rows, 2), height and width of the stored images.
        """
        with tf.device("CPU:0"):
            return self._compiled(tf.constant(step, tf.int64), tf.constant(first_row, tf.int64), tf.constant(sizes)).numpy()

    def _draw(self, step: tf.Tensor, first_row: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
        draws = StatelessDraws(self._key, step, first_row, sizes.shape[0], self._batch_size)
        return parts.of("augmentations", self._settings).windows(self._settings, draws, sizes[:, 0], sizes[:, 1])


def windows(experiment: Experiment, reader: Reader, steps_per_epoch: int) -> Windows | None:
    """Return the windows to cut on reading; None where the first augmentation draws none, or images are stored as the model sees them."""
    if reader.larger and experiment.augment and hasattr(parts.of("augmentations", experiment.augment[0]), "windows"):
        return Windows(experiment, steps_per_epoch)
    return None
