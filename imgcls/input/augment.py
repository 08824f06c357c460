"""Applying an experiment's augmentations, without state: each draw is a function of (seed, step,
row in the global batch). Heavy zone.
"""

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy

from imgcls import parts
from imgcls.augmentations import AugmentationSettings
from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.errors import UserError
from imgcls.seeds import derive_seed

BLOCK = 4
"""Numbers of 32 bits that Philox makes at once."""


class StatelessRandom:
    """Random numbers for one augmentation on the rows of one replica.

    Of few numbers an image, those of the whole global batch are drawn, of which the replica's rows
    are a slice: so they do not depend on how many devices share the batch. It costs microseconds.
    Of a number for each byte, the replica draws its own rows: Philox (Salmon et al., 2011) counts
    blocks of four numbers, and the rows before it are skipped by adding to the counter.
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
        return tf.stack(
            [
                tf.constant(int.from_bytes(digest[:7], "big"), tf.int64),
                tf.cast(self._step, tf.int64),
            ]
        )

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> tf.Tensor:
        """Return float32 (rows, *shape), uniform in [low, high)."""
        return self._slice_local(
            tf.random.stateless_uniform([self._batch_size, *shape], self._seed(), low, high)
        )

    def integers(self, low: int, high: int) -> tf.Tensor:
        """Return int32 (rows,), uniform over low, ..., high - 1."""
        return self._slice_local(
            tf.random.stateless_uniform([self._batch_size], self._seed(), low, high, tf.int32)
        )

    def normal(self, shape: tuple[int, ...]) -> tf.Tensor:
        """Return float32 (rows, *shape), of mean 0 and std 1: the quantiles of 16 random
        bits, at most 4.3 from 0.

        TensorFlow's own normal numbers take almost twice as long.
        """
        with tf.init_scope():  # once, not in every step
            quantiles = (
                tf.math.ndtri((numpy.arange(2**16) + 0.5) / 2**16).numpy().astype(numpy.float32)
            )
        return tf.gather(
            tf.constant(quantiles),
            tf.cast(tf.bitcast(self.bytes((*shape, 2)), tf.uint16), tf.int32),
        )

    def bytes(self, shape: tuple[int, ...]) -> tf.Tensor:
        """Return uint8 (rows, *shape), uniform over 0, ..., 255."""
        count = math.prod(shape)
        blocks = -(-count // (4 * BLOCK))
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=self._seed())
        skipped = tf.stack(
            [tf.cast(self._first_row * blocks, tf.uint64), tf.constant(0, tf.uint64)]
        )
        words = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[self._rows, BLOCK * blocks],
            key=key,
            counter=counter + skipped,
            alg=tf.random.Algorithm.PHILOX.value,
            dtype=tf.int32,
        )
        drawn = tf.reshape(tf.bitcast(words, tf.uint8), [self._rows, 4 * BLOCK * blocks])
        return tf.reshape(drawn[:, :count], [self._rows, *shape])

    def _slice_local(self, drawn: tf.Tensor) -> tf.Tensor:
        return tf.slice(
            drawn, [self._first_row] + [0] * (len(drawn.shape) - 1), [self._rows, *drawn.shape[1:]]
        )


def mixes(experiment: Experiment) -> bool:
    """Tell whether an augmentation of the experiment changes targets."""
    return any(
        hasattr(parts.load_for("augmentations", settings), "mix") for settings in experiment.augment
    )


def check_augmentations(experiment: Experiment, channels: int, rows: int) -> None:
    """Refuse augmentations that do not fit the images, or how the batch is divided among the
    devices.

    Args:
        channels: of an image.
        rows: of the global batch, on each device.

    Raises:
        UserError: a part needs RGB images; or mixes pairs of images, and a pair would lie on two
            devices, or the batch has no pair.
    """
    for place, settings in enumerate(experiment.augment):
        advice = settings.needs_rgb()
        if advice and channels != 3:
            raise UserError(
                f"augment.{place}: {settings.name} needs RGB images, but these have {channels}"
                f" channel(s); {advice}"
            )
    if mixes(experiment) and rows % 2 and (rows == 1 or rows != experiment.train.batch_size):
        raise UserError(
            f"augment: mixup and cutmix pair the images on a device, but each gets {rows}; make"
            " train.batch_size an even number a device"
        )


def iterate_with_keys(experiment: Experiment) -> Iterator[tuple[AugmentationSettings, str]]:
    """Yield the experiment's augmentations, each with the key of its random.

    It is made of the seed, the part's `RANDOM_KEY`, and how often that part came before, so that
    neither adding another augmentation nor renaming one changes a draw.
    """
    seen: Counter[str] = Counter()
    for settings in experiment.augment:
        key = parts.load_for("augmentations", settings).RANDOM_KEY
        yield settings, f"{derive_seed(experiment.seed, 'augment')}/{key}/{seen[key]}"
        seen[key] += 1


def augment(
    experiment: Experiment,
    images: tf.Tensor,
    targets: tf.Tensor,
    step: tf.Tensor,
    first_row: tf.Tensor,
    batch_size: int,
    steps_per_epoch: int,
    applied: int = 0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Apply the experiment's augmentations in order; return the images, uint8, and the targets,
    which only mixing parts change.

    Args:
        images: uint8 (rows, height, width, channels), rows `first_row`, ... of the global batch.
        targets: float32 (rows, classes) where a part mixes, else anything.
        step: int64 scalar, the training step from 0.
        first_row: int64 scalar.
        batch_size: images in the global batch.
        steps_per_epoch: by which it is known whether a part's `until` is over.
        applied: how many of the first augmentations the images went through already, when they were
            read.
    """
    for settings, key in itertools.islice(iterate_with_keys(experiment), applied, None):
        apply = partial(_apply, settings, key, images, targets, step, first_row, batch_size)
        if settings.until is None:
            images, targets = apply()
        else:
            end = settings.find_end(experiment.train.epochs, steps_per_epoch)
            # A branch that is not taken costs nothing.
            images, targets = tf.cond(
                step < end, apply, lambda images=images, targets=targets: (images, targets)
            )
    return images, targets


def _apply(
    settings: AugmentationSettings,
    key: str,
    images: tf.Tensor,
    targets: tf.Tensor,
    step: tf.Tensor,
    first_row: tf.Tensor,
    batch_size: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    random = StatelessRandom(key, step, first_row, images.shape[0], batch_size)
    part = parts.load_for("augmentations", settings)
    if hasattr(part, "mix"):
        return part.mix(settings, images, targets, random)
    return part.compute(settings, images, random), targets


def preview(experiment: Experiment, images: numpy.ndarray, step: int) -> numpy.ndarray:
    """Return what training would make of a batch of uint8 images at a step of its first epoch, as a
    numpy array.
    """
    targets, first_row = tf.eye(len(images)), tf.constant(0, tf.int64)
    result, _ = augment(
        experiment,
        tf.constant(images),
        targets,
        tf.constant(step, tf.int64),
        first_row,
        len(images),
        step + 1,
    )
    return result.numpy()
