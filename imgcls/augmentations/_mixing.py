"""Mixing images in pairs: which image with which, and in which ratio. Heavy zone."""

import numpy

from imgcls.augmentations import RandomParameters
from imgcls.augmentations._bytes import count_images_in_cache, round_to_bytes
from imgcls.backend import tf


def gather_partners(values: tf.Tensor) -> tf.Tensor:
    """Return each row's partner: rows 2k and 2k + 1 are a pair; a single last row is its own.

    Batches are shuffled, so these pairs are random, and both rows of a pair are on one device.
    """
    rows = tf.shape(values)[0]
    return tf.gather(values, tf.minimum(tf.bitwise.bitwise_xor(tf.range(rows), 1), rows - 1))


def draw_mixing_ratios(alpha: float, probability: float, random: RandomParameters) -> tf.Tensor:
    """Draw the weight of each image itself in its mixture, in 256ths: int32 (batch,).

    An image is mixed with the given probability; otherwise its weight is 256. Weights are
    Beta(alpha, alpha), rounded to 256ths, and drawn by inverting the distribution function:
    rejection sampling would depend on the device.
    """
    limits = (numpy.arange(256) + 0.5) / 256
    with tf.init_scope():  # once, not in every step
        cumulative = tf.math.betainc(
            tf.constant(alpha, tf.float64), tf.constant(alpha, tf.float64), limits
        ).numpy()
    ratios = tf.searchsorted(tf.constant(cumulative, tf.float32), random.uniform(0.0, 1.0))
    return tf.where(random.uniform(0.0, 1.0) < probability, ratios, 256)


def mix_images(images: tf.Tensor, ratios: tf.Tensor) -> tf.Tensor:
    """Mix uint8 images with their partners as `mix_values` does; return uint8, rounded.

    Chunks of whole pairs stay in the cache until they are bytes again. A 256th of a byte is exact
    in float32, and so is the sum of two, so every device computes the same bytes.
    """
    rows = 2 * max(1, count_images_in_cache(images) // 2)
    chunks = [slice(first, first + rows) for first in range(0, images.shape[0], rows)]
    return tf.concat(
        [
            round_to_bytes(mix_values(tf.cast(images[chunk], tf.float32), ratios[chunk]))
            for chunk in chunks
        ],
        axis=0,
    )


def mix_values(values: tf.Tensor, ratios: tf.Tensor) -> tf.Tensor:
    """Return ratio * row + (1 - ratio) * partner for each row: float32, shaped like `values`.

    Each pair of rows is multiplied by a 2x2 matrix, which takes two thirds of the time of
    multiplying and adding. Elsewhere, augmentations avoid matrix products of float32, which some
    GPUs round to ten bits, and which each library adds up in its own order. Here they do no harm: a
    byte times a number of 256ths, and the sum of two, is exact even then.

    Args:
        ratios: float32 (batch,), in 0..1.
    """
    rows = values.shape[0]
    flat, own = tf.reshape(values, [rows, -1]), ratios
    if rows % 2:  # the last row is its own partner
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
