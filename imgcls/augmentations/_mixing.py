"""What parts that mix two images share: who is mixed with whom, and how much. Heavy zone."""

import numpy

from imgcls.augmentations import RandomParameters
from imgcls.augmentations._bytes import count_in_cache, round_to_bytes
from imgcls.backend import tf


def gather_partners(values: tf.Tensor) -> tf.Tensor:
    """Return each row's partner: rows 2k and 2k + 1 are a pair, the last row of an odd number is
    its own.

    The order of the batch is random, so that these pairs are too; and a pair stays on one device.
    """
    rows = tf.shape(values)[0]
    return tf.gather(values, tf.minimum(tf.bitwise.bitwise_xor(tf.range(rows), 1), rows - 1))


def draw_kept_fractions(alpha: float, probability: float, random: RandomParameters) -> tf.Tensor:
    """Draw how much of itself each image keeps, in 256ths: int32 (batch,), 256 for all but a share
    `probability` of the images.

    Beta(alpha, alpha), rounded to a 256th: the inverse of its distribution, since a sampler that
    rejects would depend on the device.
    """
    limits = (numpy.arange(256) + 0.5) / 256
    with tf.init_scope():  # once, not in every step
        below = tf.math.betainc(
            tf.constant(alpha, tf.float64), tf.constant(alpha, tf.float64), limits
        ).numpy()
    drawn = tf.searchsorted(tf.constant(below, tf.float32), random.uniform(0.0, 1.0))
    return tf.where(random.uniform(0.0, 1.0) < probability, drawn, 256)


def mix_images(images: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Return what `mixed` does of images, uint8, rounded; in pieces of whole pairs, which stay in
    the cache until they are bytes again.

    A 256th of a byte is exact in float32, and so is a sum of two: the same bytes on every device.
    """
    rows = 2 * max(1, count_in_cache(images) // 2)
    pieces = [slice(first, first + rows) for first in range(0, images.shape[0], rows)]
    return tf.concat(
        [
            round_to_bytes(mix_values(tf.cast(images[piece], tf.float32), kept[piece]))
            for piece in pieces
        ],
        axis=0,
    )


def mix_values(values: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Return of each row's values the share that is kept, float32 (batch,), and of its partner's
    the rest: float32, shaped like `values`.

    A pair is a product of two rows with a 2x2 matrix, which takes two thirds of the time of
    multiplying and adding.
    """
    rows = values.shape[0]
    flat, own = tf.reshape(values, [rows, -1]), kept
    if rows % 2:  # the last row gets itself as partner
        flat, own = tf.concat([flat, flat[-1:]], axis=0), tf.concat([own, tf.ones([1])], axis=0)
    own = tf.reshape(own, [-1, 2])
    weights = tf.stack(
        [
            tf.stack([own[:, 0], 1 - own[:, 0]], axis=1),
            tf.stack([1 - own[:, 1], own[:, 1]], axis=1),
        ],
        axis=1,
    )
    pairs = tf.matmul(weights, tf.reshape(flat, [-1, 2, flat.shape[1]]))
    return tf.reshape(tf.reshape(pairs, [-1, flat.shape[1]])[:rows], values.shape)
