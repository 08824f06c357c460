"""Cover a box of some images with noise (Zhong et al., 2020, Random Erasing Data Augmentation,
algorithm 1).

Light zone.
"""

from typing import TYPE_CHECKING, Literal

from imgcls.augmentations import AugmentationSettings, Fraction, PositiveRange, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "erasing"


class Settings(AugmentationSettings):
    """The settings of the erasing."""

    probability: Fraction = 0.5
    """Share of the images that lose a box."""
    scale: PositiveRange = [0.02, 0.4]
    """Least and largest share of the image's area."""
    ratio: PositiveRange = [0.3, 1 / 0.3]
    """Least and largest width over height of the box."""
    fill: Literal["noise", "constant"] = "noise"
    """What the box shows: random bytes, the paper's best choice, or zeros."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Cover a box of each image with the given probability; an image in which none of ten boxes
    fits stays whole.
    """
    from imgcls.augmentations._boxes import draw_boxes
    from imgcls.augmentations._bytes import make_box_mask, paste
    from imgcls.backend import tf

    shape = images.shape[1:].as_list()
    drawn, fits = draw_boxes(
        settings.scale,
        settings.ratio,
        random,
        *[tf.fill([images.shape[0]], side) for side in shape[:2]],
    )
    erased = fits & (random.uniform(0.0, 1.0) < settings.probability)
    mask = make_box_mask(*tf.unstack(tf.where(erased[:, None], drawn, 0), axis=1), shape)
    return paste(
        mask,
        random.bytes(tuple(shape)) if settings.fill == "noise" else tf.zeros_like(images),
        images,
    )
