"""Applying an experiment's augmentations, without state. Heavy zone.

All random parameters are functions of (seed, step, row in the global batch).
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
from imgcls.seeds import PHILOX_BLOCK, derive_seed
from imgcls.training.plan import count_epochs


class StatelessRandom:
    """Random parameters for one augmentation on the local batch of one replica.

    They must not depend on the number of devices. If an image needs few numbers, each replica draws
    those of the whole global batch, which takes microseconds, and slices out its rows. If an image
    needs a number per byte, a replica draws its own rows only: Philox (Salmon et al., 2011) numbers
    its blocks of four, so that adding to its counter skips the rows before.
    """

    def __init__(
        self, key: str, step: tf.Tensor, first_row: tf.Tensor | int, rows: int, batch_size: int
    ):
        self._key = key
        self._step = step
        self._first_row = first_row
        self._rows = rows
        self._batch_size = batch_size
        self._calls = 0

    def _next_seed(self) -> tf.Tensor:
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
            tf.random.stateless_uniform([self._batch_size, *shape], self._next_seed(), low, high)
        )

    def integers(self, low: int, high: int) -> tf.Tensor:
        """Return int32 (rows,), uniform over low, ..., high - 1."""
        return self._slice_local(
            tf.random.stateless_uniform([self._batch_size], self._next_seed(), low, high, tf.int32)
        )

    def normal(self, shape: tuple[int, ...]) -> tf.Tensor:
        """Return float32 (rows, *shape) with mean 0 and std 1, at most 4.3 from 0.

        These are the quantiles of 16 random bits; TensorFlow's own take almost twice as long.
        """
        # Once, not in every step; and with the same bits on every machine.
        with tf.init_scope(), tf.device("CPU:0"):
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
        blocks = -(-count // (4 * PHILOX_BLOCK))
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=self._next_seed())
        skipped = tf.stack(
            [tf.cast(self._first_row * blocks, tf.uint64), tf.constant(0, tf.uint64)]
        )
        words = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[self._rows, PHILOX_BLOCK * blocks],
            key=key,
            counter=counter + skipped,
            alg=tf.random.Algorithm.PHILOX.value,
            dtype=tf.int32,
        )
        numbers = tf.reshape(tf.bitcast(words, tf.uint8), [self._rows, 4 * PHILOX_BLOCK * blocks])
        return tf.reshape(numbers[:, :count], [self._rows, *shape])

    def _slice_local(self, numbers: tf.Tensor) -> tf.Tensor:
        """Return the replica's rows of numbers for the whole global batch."""
        rest = numbers.shape[1:]
        return tf.slice(numbers, [self._first_row] + [0] * len(rest), [self._rows, *rest])


def mixes_images(experiment: Experiment) -> bool:
    """Return whether an augmentation of the experiment mixes images, and so changes targets."""
    return any(
        hasattr(parts.load_for("augmentations", settings), "mix") for settings in experiment.augment
    )


def check_augmentations(experiment: Experiment, channels: int, rows: int) -> None:
    """Check that the augmentations suit the images, and the number of them on each device.

    Args:
        channels: of an image.
        rows: of a local batch.

    Raises:
        UserError: an augmentation needs RGB images, or mixes pairs of images where a device has an
            odd number of them, or a single one.
    """
    for index, settings in enumerate(experiment.augment):
        advice = settings.needs_rgb()
        if advice and channels != 3:
            raise UserError(
                f"augment.{index}: {settings.name} needs RGB images, but these have {channels}"
                f" channel(s); {advice}"
            )
    if mixes_images(experiment) and rows % 2 and (rows == 1 or rows != experiment.train.batch_size):
        raise UserError(
            f"augment: mixup and cutmix pair the images on a device, but each device gets {rows};"
            " set train.batch_size so that each gets an even number"
        )


def iterate_with_keys(experiment: Experiment) -> Iterator[tuple[AugmentationSettings, str]]:
    """Yield the experiment's augmentations, each with the key of its random parameters.

    A key consists of the seed, the part's `RANDOM_KEY`, and the number of times that the part
    occurred before, so that adding or renaming another augmentation does not change it.
    """
    occurrences: Counter[str] = Counter()
    for settings in experiment.augment:
        key = parts.load_for("augmentations", settings).RANDOM_KEY
        yield settings, f"{derive_seed(experiment.seed, 'augment')}/{key}/{occurrences[key]}"
        occurrences[key] += 1


def augment(
    experiment: Experiment,
    images: tf.Tensor,
    targets: tf.Tensor,
    step: tf.Tensor,
    first_row: tf.Tensor | int,
    batch_size: int,
    steps_per_epoch: int,
    applied: int = 0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Apply the experiment's augmentations, one after the other.

    Args:
        images: uint8 (rows, height, width, channels), rows `first_row`, ... of the global batch.
        targets: float32 (rows, classes) if an augmentation mixes images, else anything.
        step: int64 scalar, the training step from 0.
        first_row: int64 scalar, or a number.
        batch_size: images in the global batch.
        steps_per_epoch: needed to know when an augmentation's `until` is reached.
        applied: how many of the first augmentations were already applied on reading.

    Returns:
        The images, uint8, and the targets, which change only if images are mixed.
    """
    for settings, key in itertools.islice(iterate_with_keys(experiment), applied, None):
        apply = partial(_apply, settings, key, images, targets, step, first_row, batch_size)
        if settings.until is None:
            images, targets = apply()
        else:
            end = settings.find_end(count_epochs(experiment.train), steps_per_epoch)
            # The branch that is not taken costs nothing.
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
    first_row: tf.Tensor | int,
    batch_size: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    random = StatelessRandom(key, step, first_row, images.shape[0], batch_size)
    part = parts.load_for("augmentations", settings)
    if hasattr(part, "mix"):
        return part.mix(settings, images, targets, random)
    return part.compute(settings, images, random), targets


def preview(experiment: Experiment, images: numpy.ndarray, step: int) -> numpy.ndarray:
    """Augment a batch of uint8 images as training would at a step of its first epoch."""
    with tf.device("CPU:0"):  # as in training
        result, _ = augment(
            experiment,
            tf.constant(images),
            tf.eye(len(images)),
            tf.constant(step, tf.int64),
            0,
            len(images),
            step + 1,
        )
    return result.numpy()
