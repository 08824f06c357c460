"""Gaussian blur of some images, by a width of their own (Chen et al., 2020,
https://arxiv.org/abs/2002.05709, appendix A).

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, Fraction, PositiveRange, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "blur"


class Settings(AugmentationSettings):
    """The blur's settings."""

    probability: Fraction = 0.5
    """Share of the images that are blurred."""
    sigma: PositiveRange = [0.1, 2.0]
    """Least and largest standard deviation, in pixels."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Blur each image with the given probability; near the border, a pixel is the weighted mean of
    those that there are.
    """
    from imgcls.augmentations._operations import apply_per_image
    from imgcls.backend import tf

    drawn = tf.cast(random.uniform(0.0, 1.0) < settings.probability, tf.int32)
    return apply_per_image(
        [lambda images, _: images, _blur],
        drawn[:, None],
        images,
        random.uniform(*settings.sigma)[:, None],
    )


def _blur(images: "tf.Tensor", sigma: "tf.Tensor") -> "tf.Tensor":
    """Multiply with a matrix of weights along either axis: the cost does not depend on sigma, and
    images may differ in it.
    """
    from imgcls.augmentations._bytes import round_to_bytes
    from imgcls.backend import tf

    height, width, channels = images.shape[1:]
    rows = tf.matmul(
        _compute_weights(height, sigma),
        tf.reshape(tf.cast(images, tf.float32), [-1, height, width * channels]),
    )
    turned = tf.transpose(tf.reshape(rows, [-1, height, width, channels]), [0, 2, 1, 3])
    columns = tf.matmul(
        _compute_weights(width, sigma), tf.reshape(turned, [-1, width, height * channels])
    )
    return round_to_bytes(
        tf.transpose(tf.reshape(columns, [-1, width, height, channels]), [0, 2, 1, 3])
    )


def _compute_weights(size: int, sigma: "tf.Tensor") -> "tf.Tensor":
    """Return float32 (batch, size, size), in which a row weighs all pixels for one."""
    from imgcls.backend import tf

    places = tf.range(size, dtype=tf.float32)
    distances = (places[:, None] - places) / sigma[:, None, None]
    return tf.nn.softmax(-0.5 * distances**2, axis=-1)
