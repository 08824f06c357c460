"""Cover a box of some images with noise (Zhong et al., 2020, algorithm 1).

"Random Erasing Data Augmentation". Light zone.
"""

from typing import TYPE_CHECKING, Literal

from imgcls.augmentations import AugmentationSettings, Fraction, PositiveRange, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "erasing"


class Settings(AugmentationSettings):
    """Random erasing's settings."""

    probability: Fraction = 0.5
    """Fraction of the images in which a box is erased."""
    scale: PositiveRange = [0.02, 0.4]
    """Smallest and largest area of the box, as a fraction of the image's."""
    ratio: PositiveRange = [0.3, 1 / 0.3]
    """Smallest and largest aspect ratio of the box, width / height."""
    fill: Literal["noise", "constant"] = "noise"
    """What fills the box: random bytes, which did best in the paper, or zeros."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Erase a box of each image with the given probability.

    An image in which none of ten boxes fits stays as it is.
    """
    from imgcls.augmentations._boxes import draw_boxes
    from imgcls.augmentations._bytes import make_box_mask, paste
    from imgcls.backend import tf

    shape = images.shape[1:].as_list()
    boxes, fits = draw_boxes(
        settings.scale,
        settings.ratio,
        random,
        *[tf.fill([images.shape[0]], side) for side in shape[:2]],
    )
    erased = fits & (random.uniform(0.0, 1.0) < settings.probability)
    tops, lefts, heights, widths = tf.unstack(tf.where(erased[:, None], boxes, 0), axis=1)
    mask = make_box_mask(tops, lefts, heights, widths, shape)
    return paste(
        mask,
        random.bytes(tuple(shape)) if settings.fill == "noise" else tf.zeros_like(images),
        images,
    )
