"""Gaussian blur of some images, each with its own sigma (Chen et al., 2020, appendix A).

https://arxiv.org/abs/2002.05709. Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, Fraction, PositiveRange, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "blur"


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
    from imgcls.augmentations._operations import apply_per_image
    from imgcls.backend import tf

    low, high = settings.sigma
    chosen = tf.cast(random.uniform(0.0, 1.0) < settings.probability, tf.int32)
    return apply_per_image(
        [lambda images, _: images, _blur],
        chosen[:, None],
        images,
        random.uniform(low, high)[:, None],
    )


def _blur(images: "tf.Tensor", sigma: "tf.Tensor") -> "tf.Tensor":
    """Multiply by a matrix of weights along each axis; the cost does not depend on sigma."""
    from imgcls.augmentations._bytes import round_to_bytes
    from imgcls.backend import tf

    height, width, channels = images.shape[1:]
    rows = tf.matmul(
        _compute_weights(height, sigma),
        tf.reshape(tf.cast(images, tf.float32), [-1, height, width * channels]),
    )
    transposed = tf.transpose(tf.reshape(rows, [-1, height, width, channels]), [0, 2, 1, 3])
    columns = tf.matmul(
        _compute_weights(width, sigma), tf.reshape(transposed, [-1, width, height * channels])
    )
    return round_to_bytes(
        tf.transpose(tf.reshape(columns, [-1, width, height, channels]), [0, 2, 1, 3])
    )


def _compute_weights(size: int, sigma: "tf.Tensor") -> "tf.Tensor":
    """Return float32 (batch, size, size); each row holds the weights of all pixels for one."""
    from imgcls.backend import tf

    positions = tf.range(size, dtype=tf.float32)
    distances = (positions[:, None] - positions) / sigma[:, None, None]
    return tf.nn.softmax(-0.5 * distances**2, axis=-1)
