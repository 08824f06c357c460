"""Gaussian blur of some images, each with its own sigma (Chen et al., 2020, appendix A).

https://arxiv.org/abs/2002.05709. Light zone.
"""

import math
from functools import partial
from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, Fraction, PositiveRange, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "blur"
RADIUS = 4.0
"""Standard deviations beyond which pixels do not count, as in SciPy."""
BLOCK = 16
"""Rows of a large image whose averages are computed by one product of matrices."""


class Settings(AugmentationSettings):
    """The blur's settings."""

    probability: Fraction = 0.5
    """Fraction of the images that are blurred."""
    sigma: PositiveRange = [0.1, 2.0]
    """Smallest and largest standard deviation, in pixels."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Blur each image with the given probability.

    Near the border, the weights of the pixels inside the image add up to 1.
    """
    from imgcls.augmentations._groups import apply_in_groups, identity
    from imgcls.backend import tf

    low, high = settings.sigma
    chosen = tf.cast(random.uniform(0.0, 1.0) < settings.probability, tf.int32)
    blur = partial(_blur, radius=math.ceil(RADIUS * high))
    return apply_in_groups([identity, blur], chosen, images, random.uniform(low, high))


def _blur(images: "tf.Tensor", sigma: "tf.Tensor", radius: int) -> "tf.Tensor":
    """Add whole numbers along each axis: in any order, and on any device, the sum is the same.

    In between, pixels are rounded to 256ths of a level, so that sums stay below 2**31.
    """
    from imgcls.augmentations._bytes import round_to_bytes
    from imgcls.backend import tf

    _, height, width, channels = images.shape
    levels = _average_rows(tf.reshape(images, [-1, height, width * channels]), sigma, radius)
    levels = tf.reshape(tf.cast(256 * levels + 0.5, tf.int32), [-1, height, width, channels])
    levels = tf.transpose(levels, [0, 2, 1, 3])
    levels = _average_rows(tf.reshape(levels, [-1, width, height * channels]), sigma, radius)
    averages = round_to_bytes(levels / 256)
    return tf.transpose(tf.reshape(averages, [-1, width, height, channels]), [0, 2, 1, 3])


def _average_rows(pixels: "tf.Tensor", sigma: "tf.Tensor", radius: int) -> "tf.Tensor":
    """Return the weighted average of each row and its neighbors.

    Rows are averaged in blocks if most of a matrix of weights for all of them would be zeros.

    Args:
        pixels: integers (batch, size, values), at most 2**16.

    Returns:
        float32, of the shape of the pixels: exact sums, rounded, and divided by the sums of the
        weights, which is rounded too.
    """
    import numpy

    from imgcls.backend import tf

    size, values = pixels.shape[1:]
    radius = min(radius, size - 1)
    read = min(BLOCK + 2 * radius, size)
    rows = numpy.arange(-(-size // BLOCK) * BLOCK).reshape(-1, BLOCK)
    if read == size:
        rows = numpy.arange(size)[None]
    neighbors = numpy.clip(rows[:, :1] - radius, 0, size - read) + numpy.arange(read)
    distances = abs(rows[:, :, None] - neighbors[:, None, :])
    table = _compute_weights(sigma, radius)
    weights = tf.gather(table, numpy.minimum(distances, radius + 1), axis=1)
    blocks = tf.cast(tf.gather(pixels, neighbors, axis=1), tf.int32)
    sums = tf.cast(tf.reshape(tf.matmul(weights, blocks), [-1, values]), tf.float32)
    totals = tf.cast(tf.reshape(tf.reduce_sum(weights, axis=-1), [-1, 1]), tf.float32)
    return tf.reshape(sums / totals, [-1, rows.size, values])[:, :size]


def _compute_weights(sigma: "tf.Tensor", radius: int) -> "tf.Tensor":
    """Return the weights at distances 0, ..., radius + 1, int32 (batch, radius + 2).

    Those of all pixels within the radius add up to at most 2**15; the last weight is 0. They are
    computed in float64, so that rounding hides how a library computes the exponential function.
    """
    from imgcls.backend import tf

    distances = tf.range(radius + 1, dtype=tf.float64)
    weights = tf.exp(-0.5 * (distances / tf.cast(sigma, tf.float64)[:, None]) ** 2)
    total = 2 * tf.reduce_sum(weights, axis=1, keepdims=True) - weights[:, :1]
    weights *= (2**15 - (radius + 1)) / total  # halves may be rounded up
    return tf.pad(tf.cast(weights + 0.5, tf.int32), [[0, 0], [0, 1]])
