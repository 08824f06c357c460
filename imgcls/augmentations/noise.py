"""Add Gaussian noise to each byte (Bishop, 1995, Training with Noise is Equivalent to Tikhonov Regularization)."""

from typing import TYPE_CHECKING

from imgcls.augmentations import AugmentationSettings, Draws, Range

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "noise"


class Settings(AugmentationSettings):
    """The noise's settings."""

    sigma: Range = [0.0, 10.0]
    """Least and largest standard deviation, in grey levels; each image draws its own."""


def compute(settings: Settings, images: "tf.Tensor", draws: Draws) -> "tf.Tensor":
    """Add noise of each image's own deviation, and clip."""
    from imgcls.augmentations._bytes import clipped, rounded
    from imgcls.backend import tf

    noise = draws.normal(tuple(images.shape[1:])) * draws.uniform(*settings.sigma)[:, None, None, None]
    return rounded(clipped(tf.cast(images, tf.float32) + noise))
