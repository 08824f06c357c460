"""CutMix: paste a box of another image; targets follow the area (Yun et al., 2019, algorithm A1).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, Fraction, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "cutmix"


class Settings(AugmentationSettings):
    """CutMix's settings."""

    alpha: Annotated[float, Field(gt=0)] = 1.0
    """An image keeps a Beta(alpha, alpha) fraction of its area, before the box is clipped to it."""
    probability: Fraction = 0.5
    """Fraction of the images that get a box."""


def mix(
    settings: Settings, images: "tf.Tensor", targets: "tf.Tensor", random: RandomParameters
) -> tuple["tf.Tensor", "tf.Tensor"]:
    """Paste a box of the partner into each image; targets are weighted by the pixels of each.

    The center of a box may be anywhere in the image.
    """
    from imgcls.augmentations import _mixing
    from imgcls.augmentations._bytes import make_box_mask, paste
    from imgcls.backend import tf

    shape = images.shape[1:].as_list()
    side = tf.sqrt(
        1
        - tf.cast(
            _mixing.draw_mixing_ratios(settings.alpha, settings.probability, random), tf.float32
        )
        / 256
    )
    starts, lengths = [], []
    for size in shape[:2]:
        length = tf.cast(side * size, tf.int32)
        first = random.integers(0, size) - length // 2
        last = tf.minimum(first + length, size)
        starts.append(tf.maximum(first, 0))
        lengths.append(last - starts[-1])
    pasted = tf.cast(lengths[0] * lengths[1], tf.float32) / (shape[0] * shape[1])
    mask = make_box_mask(starts[0], starts[1], lengths[0], lengths[1], shape)
    mixed = paste(mask, _mixing.gather_partners(images), images)
    return mixed, _mixing.mix_values(targets, 1 - pasted)
