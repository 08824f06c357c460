"""The operations that rand_augment, trivial_augment and aug_mix choose from. Heavy zone."""

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
    """An augmentation space: how strong each operation is at level 1.

    Each method takes uint8 images and levels, float32 (batch,) in -1..1; operations without a
    direction use the absolute value of the level.

    Attributes:
        shear: slope.
        right, down: pixels of a shift.
        degrees: of a rotation.
        enhance: change of the factors of brightness, saturation, contrast and sharpness.
        bits: how many posterize leaves at level 0, and how many fewer at level 1.
        interpolation: of warps; outside the image they are black.
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
        """Rotate clockwise."""
        return _warps.warp(
            images, _warps.compute_rotation(levels * self.degrees), self.interpolation, "constant"
        )

    def brightness(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Brighten or darken."""
        return _tones.adjust_brightness(images, 1 + levels * self.enhance)

    def saturation(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Strengthen or weaken the colors; images of one channel stay as they are."""
        return _tones.adjust_saturation(images, 1 + levels * self.enhance)

    def contrast(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Raise or lower the contrast."""
        return _tones.adjust_contrast(images, 1 + levels * self.enhance)

    def sharpness(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Sharpen or smooth."""
        return _tones.adjust_sharpness(images, 1 + levels * self.enhance)

    def posterize(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Keep the upper bits."""
        most, fewer = self.bits
        return _tones.posterize(images, tf.cast(tf.round(most - fewer * tf.abs(levels)), tf.int32))

    def solarize(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Invert the levels from a threshold up; it falls from 256 to 0."""
        return _tones.solarize(images, tf.cast(tf.round(256 * (1 - tf.abs(levels))), tf.int32))

    def autocontrast(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Stretch each channel to the full range."""
        return _tones.autocontrast(images)

    def equalize(self, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        """Flatten the histogram."""
        return _tones.equalize(images)
