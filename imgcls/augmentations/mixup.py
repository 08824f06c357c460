"""mixup: each image and its targets mixed with another's (Zhang et al., 2018, https://arxiv.org/abs/1710.09412)."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, Draws, Share

if TYPE_CHECKING:
    import tensorflow as tf


class Settings(AugmentationSettings):
    """mixup's settings."""

    alpha: Annotated[float, Field(gt=0)] = 0.2
    """An image keeps a Beta(alpha, alpha) share of itself, in steps of 1/256: 1 makes all shares likely, near 0 most are 0 or 1."""
    probability: Share = 1.0
    """Share of the images that are mixed."""


def mix(settings: Settings, images: "tf.Tensor", targets: "tf.Tensor", draws: Draws) -> tuple["tf.Tensor", "tf.Tensor"]:
    """Mix each image with its partner, by a share of its own, where the paper draws one for all: in whole numbers of 16 bits, which
    are exact on every device and half as large as float32."""
    from imgcls.augmentations import _mixing
    from imgcls.backend import tf

    kept = _mixing.shares(settings.alpha, settings.probability, draws)
    own = tf.cast(kept, tf.uint16)[:, None, None, None]
    both = tf.cast(images, tf.uint16) * own + tf.cast(_mixing.of_partners(images), tf.uint16) * (256 - own)
    mixed = tf.bitwise.right_shift(both + tf.constant(128, tf.uint16), tf.constant(8, tf.uint16))
    return tf.cast(mixed, tf.uint8), _mixing.mixed_targets(targets, tf.cast(kept, tf.float32) / 256)
