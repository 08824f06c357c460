"""mixup: each image and its targets mixed with another's (Zhang et al., 2018,
https://arxiv.org/abs/1710.09412).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, Fraction, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "mixup"


class Settings(AugmentationSettings):
    """mixup's settings."""

    alpha: Annotated[float, Field(gt=0)] = 0.2
    """An image keeps a Beta(alpha, alpha) share of itself, in steps of 1/256: 1 makes all shares
    likely, near 0 most are 0 or 1.
    """
    probability: Fraction = 1.0
    """Share of the images that are mixed."""


def mix(
    settings: Settings, images: "tf.Tensor", targets: "tf.Tensor", random: RandomParameters
) -> tuple["tf.Tensor", "tf.Tensor"]:
    """Mix each image with its partner, by a share of its own, where the paper draws one for all."""
    from imgcls.augmentations import _mixing
    from imgcls.backend import tf

    kept = (
        tf.cast(
            _mixing.draw_kept_fractions(settings.alpha, settings.probability, random), tf.float32
        )
        / 256
    )
    return _mixing.mix_images(images, kept), _mixing.mix_values(targets, kept)
