"""The operations among which rand_augment, trivial_augment and aug_mix choose for each image. Heavy
zone.
"""

from collections.abc import Callable
from dataclasses import dataclass

from imgcls.augmentations import _tones, _warps
from imgcls.backend import tf

ALL = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness",
    "saturation", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
"""The fourteen of RandAugment (Cubuk et al., 2020, section 3) and TrivialAugment."""


@dataclass(frozen=True)
class Space:
    """How far each operation goes at level 1.

    A method takes uint8 images and levels, float32 (batch,) in -1..1; operations without direction
    look at the size of a level alone.

    Attributes:
        shear: slope.
        right, down: pixels of a shift.
        degrees: of a turn.
        enhance: change of the factors of brightness, saturation, contrast and sharpness.
        bits: kept by posterize at level 0, and lost by level 1.
        interpolation: of warps, which show black outside the image.
    """

    shear: float
    right: float
    down: float
    degrees: float
    enhance: float
    bits: tuple[int, int]
    interpolation: str

    def identity(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Return the images as they are."""
        return images

    def shear_x(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Shear along x."""
        return _warps.shear_x(images, levels * self.shear, self.interpolation)

    def shear_y(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Shear along y."""
        return _warps.shear_y(images, levels * self.shear, self.interpolation)

    def translate_x(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Shift to the right, by whole pixels."""
        return _warps.shift_right(images, tf.cast(levels * self.right, tf.int32))

    def translate_y(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Shift down, by whole pixels."""
        return _warps.shift_down(images, tf.cast(levels * self.down, tf.int32))

    def rotate(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Turn clockwise."""
        return _warps.warp(
            images, _warps.compute_rotation(levels * self.degrees), self.interpolation, "constant"
        )

    def brightness(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Brighten, or darken."""
        return _tones.adjust_brightness(images, 1 + levels * self.enhance)

    def saturation(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Strengthen the colours, or weaken them; nothing on grey images."""
        return _tones.adjust_saturation(images, 1 + levels * self.enhance)

    def contrast(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Raise the contrast, or lower it."""
        return _tones.adjust_contrast(images, 1 + levels * self.enhance)

    def sharpness(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Sharpen, or smooth."""
        return _tones.adjust_sharpness(images, 1 + levels * self.enhance)

    def posterize(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Keep the upper bits."""
        most, lost = self.bits
        return _tones.posterize(images, tf.cast(tf.round(most - lost * tf.abs(levels)), tf.int32))

    def solarize(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Invert what is brighter than a threshold, which falls from 256 to 0."""
        return _tones.solarize(images, tf.cast(tf.round(256 * (1 - tf.abs(levels))), tf.int32))

    def autocontrast(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Stretch the contrast as far as it goes."""
        return _tones.autocontrast(images)

    def equalize(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Flatten the histogram."""
        return _tones.equalize(images)


def apply_per_image(
    operations: list[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]],
    choices: tf.Tensor,
    images: tf.Tensor,
    levels: tf.Tensor,
) -> tf.Tensor:
    """Apply to each image the operations that were chosen for it, one after the other, and no
    others.

    Each time the batch is sorted by operation, and cut into groups. It stays so until all is done,
    which saves sorting it back each time.

    Args:
        choices: int32 (batch, places), places in `operations`.
        levels: float32 (batch, places).
    """
    rows, shape = tf.range(images.shape[0]), images.shape
    for place in range(choices.shape[1]):
        chosen = tf.gather(choices[:, place], rows)
        order = tf.argsort(chosen)
        rows = tf.gather(rows, order)
        counts = tf.reduce_sum(tf.one_hot(chosen, len(operations), dtype=tf.int32), axis=0)
        groups = tf.split(tf.gather(images, order), counts, num=len(operations))
        strengths = tf.split(tf.gather(levels[:, place], rows), counts, num=len(operations))
        whole = [tf.ensure_shape(group, [None, *shape[1:]]) for group in groups]
        done = [
            operation(group, strength)
            for operation, group, strength in zip(operations, whole, strengths, strict=True)
        ]
        images = tf.concat(done, axis=0)
    return tf.ensure_shape(tf.gather(images, tf.argsort(rows)), shape)
