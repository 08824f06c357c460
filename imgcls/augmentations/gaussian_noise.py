"""Add Gaussian noise to each byte (Bishop, 1995).

"Training with Noise is Equivalent to Tikhonov Regularization". Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, RandomParameters, Range

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "noise"


class Settings(AugmentationSettings):
    """The noise's settings."""

    sigma: Range = [0.0, 10.0]
    """Smallest and largest standard deviation, in levels of 0..255; each image draws its own."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Add noise with a random sigma per image, and clip."""
    from imgcls.augmentations._bytes import clip_to_bytes, round_to_bytes
    from imgcls.backend import tf

    low, high = settings.sigma
    noise = random.normal(tuple(images.shape[1:])) * random.uniform(low, high)[:, None, None, None]
    return round_to_bytes(clip_to_bytes(tf.cast(images, tf.float32) + noise))
