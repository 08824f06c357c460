"""Applying an experiment's augmentations, without state: each draw is a function of (seed, step, row in the global batch). Heavy zone."""

import hashlib
from collections import Counter

import numpy

from imgcls import parts
from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.seeds import sub_seed


class StatelessDraws:
    """Random numbers for one augmentation on the rows of one replica.

    The numbers of the whole global batch are drawn, of which the replica's rows are a slice: so they do not depend on how many
    devices share the batch. It costs microseconds.
    """

    def __init__(self, key: str, step: tf.Tensor, first_row: tf.Tensor, rows: int, batch_size: int):
        self._key = key
        self._step = step
        self._first_row = first_row
        self._rows = rows
        self._batch_size = batch_size
        self._calls = 0

    def _seed(self) -> tf.Tensor:
        digest = hashlib.sha256(f"{self._key}/{self._calls}".encode()).digest()
        self._calls += 1
        return tf.stack([tf.constant(int.from_bytes(digest[:7], "big"), tf.int64), tf.cast(self._step, tf.int64)])

    def uniform(self, low: float, high: float) -> tf.Tensor:
        """Return float32 (rows,), uniform in [low, high)."""
        return self._own(tf.random.stateless_uniform([self._batch_size], self._seed(), low, high))

    def integers(self, low: int, high: int) -> tf.Tensor:
        """Return int32 (rows,), uniform over low, ..., high - 1."""
        return self._own(tf.random.stateless_uniform([self._batch_size], self._seed(), low, high, tf.int32))

    def _own(self, drawn: tf.Tensor) -> tf.Tensor:
        return tf.slice(drawn, [self._first_row], [self._rows])


def augment(experiment: Experiment, images: tf.Tensor, step: tf.Tensor, first_row: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Apply the experiment's augmentations in order.

    An augmentation's draws are keyed by its name and how often that name came before, so that adding another changes none of them.

    Args:
        images: uint8 (rows, height, width, channels), rows `first_row`, ... of the global batch.
        step: int64 scalar, the training step from 0.
        first_row: int64 scalar.
        batch_size: images in the global batch.
    """
    seen: Counter[str] = Counter()
    for settings in experiment.augment:
        key = f"{sub_seed(experiment.seed, 'augment')}/{settings.name}/{seen[settings.name]}"
        seen[settings.name] += 1
        draws = StatelessDraws(key, step, first_row, images.shape[0], batch_size)
        images = parts.of("augmentations", settings).compute(settings, images, draws)
    return images


def augmented(experiment: Experiment, images: numpy.ndarray, step: int) -> numpy.ndarray:
    """Return what training would make of a batch of uint8 images at a step, as a numpy array."""
    return augment(experiment, tf.constant(images), tf.constant(step, tf.int64), tf.constant(0, tf.int64), len(images)).numpy()
