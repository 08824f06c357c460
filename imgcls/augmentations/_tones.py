"""Operations on grey levels and colours, as Pillow defines them, on uint8 batches, with one
strength an image. Heavy zone.

Each takes images (batch, height, width, channels) and, where it has a strength, float32 or int32
(batch,). The grey of an image is its luminance (ITU-R 601-2) if it has three channels, else the
mean of its channels: one channel is its own grey.
"""

import numpy

from imgcls.augmentations._bytes import clip_to_bytes, round_to_bytes
from imgcls.backend import tf


def to_grayscale(images: tf.Tensor) -> tf.Tensor:
    """Return each pixel's grey in all channels; Pillow's `convert("L")`, to the bit."""
    return tf.cast(_compute_luma(tf.cast(images, tf.float32)), tf.uint8)


def adjust_brightness(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Multiply by a factor: `ImageEnhance.Brightness`."""
    return _truncate(tf.cast(images, tf.float32) * _per_image(factors))


def adjust_contrast(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Multiply the distance from the image's mean grey, a whole number: `ImageEnhance.Contrast`."""
    pixels = tf.cast(images, tf.float32)
    # A mean over rows of means over columns keeps float32 exact enough: a sum over 50,000 pixels
    # would not.
    mean = tf.reduce_mean(
        tf.reduce_mean(_compute_luma(pixels), axis=2, keepdims=True), axis=1, keepdims=True
    )
    return _scale_distance(tf.floor(mean + 0.5), pixels, factors)


def adjust_saturation(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Multiply the distance from each pixel's grey: `ImageEnhance.Color`. One channel stays as it
    is.
    """
    if images.shape[-1] == 1:
        return images
    pixels = tf.cast(images, tf.float32)
    return _scale_distance(_compute_luma(pixels), pixels, factors)


def adjust_sharpness(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Multiply the distance from the smoothed image: `ImageEnhance.Sharpness`. Pixels of the border
    stay as they are.
    """
    pixels = tf.cast(images, tf.float32)
    height, width = images.shape[1:3]
    if height < 3 or width < 3:
        return images
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    middle = pixels[:, 1:-1, 1:-1]
    smooth = tf.floor((rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * middle) / 13 + 0.5)
    sharp = _scale_distance(smooth, middle, factors)
    sharp = tf.concat([images[:, 1:-1, :1], sharp, images[:, 1:-1, -1:]], axis=2)
    return tf.concat([images[:, :1], sharp, images[:, -1:]], axis=1)


def adjust_hue(images: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """Turn the hue of RGB images by a share of the colour circle, saturation and value (of HSV)
    kept.
    """
    hsv = tf.image.rgb_to_hsv(tf.cast(images, tf.float32) / 255)
    of_hue = tf.constant([1.0, 0.0, 0.0])
    turned = hsv + _per_image(turns) * of_hue
    return round_to_bytes(tf.image.hsv_to_rgb(turned - tf.floor(turned * of_hue)) * 255)


def solarize(images: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """Invert the grey levels from a threshold on: `ImageOps.solarize`; int32 thresholds in
    0..256.
    """
    bright = tf.cast(images, tf.int32) >= _per_image(thresholds)
    return tf.bitwise.bitwise_xor(images, 255 * tf.cast(bright, tf.uint8))


def posterize(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keep the upper bits of each byte: `ImageOps.posterize`; int32 bits in 0..8."""
    mask = tf.bitwise.left_shift(tf.constant(255), 8 - bits)
    return tf.bitwise.bitwise_and(
        images, _per_image(tf.cast(tf.bitwise.bitwise_and(mask, 255), tf.uint8))
    )


def autocontrast(images: tf.Tensor) -> tf.Tensor:
    """Stretch each channel to 0..255: `ImageOps.autocontrast`; a channel of one level stays as it
    is.
    """
    lowest, highest = (
        tf.cast(f(images, axis=[1, 2], keepdims=True), tf.float64)
        for f in (tf.reduce_min, tf.reduce_max)
    )
    stretches = highest > lowest
    # Pillow's very formula, in double: another order of the operations moves some levels by one.
    scale = tf.where(stretches, 255.0 / (highest - lowest), 1)
    return tf.cast(
        tf.cast(images, tf.float64) * scale - tf.where(stretches, lowest * scale, 0), tf.uint8
    )


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Flatten each channel's histogram: `ImageOps.equalize`."""
    batch, height, width, channels = tf.shape(images)[0], *images.shape[1:]
    # One level of one channel of one image is one place in all tables.
    starts = 256 * (channels * tf.range(batch)[:, None] + tf.range(channels))
    places = tf.cast(images, tf.int32) + starts[:, None, None, :]
    # Counting kernels refuse to be deterministic on a GPU; a sum of integers is so in any order,
    # which this kernel knows.
    counts = tf.math.unsorted_segment_sum(tf.ones_like(places), places, 256 * channels * batch)
    below = tf.cumsum(tf.reshape(counts, [-1, 256]), axis=1, exclusive=True)
    # All pixels but those of the highest level that occurs: below it, and nowhere above, some are
    # missing.
    step = tf.reduce_max(tf.where(below < height * width, below, 0), axis=1, keepdims=True) // 255
    flat = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    tables = tf.cast(tf.where(step > 0, flat, tf.range(256)), tf.uint8)
    return tf.gather(tf.reshape(tables, [-1]), places)


def _compute_luma(pixels: tf.Tensor) -> tf.Tensor:
    """Return the whole-numbered grey in all channels, float32; exact, since Pillow's weights are
    multiples of 2**-16.
    """
    channels = pixels.shape[-1]
    weights = (
        numpy.array([19595, 38470, 7471]) / 2**16
        if channels == 3
        else numpy.full(channels, 1 / channels)
    )
    same = tf.constant(numpy.repeat(weights[:, None], channels, axis=1), tf.float32)
    return tf.floor(
        tf.reshape(tf.matmul(tf.reshape(pixels, [-1, channels]), same), tf.shape(pixels)) + 0.5
    )


def _scale_distance(origin: tf.Tensor, pixels: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    return _truncate(origin + _per_image(factors) * (pixels - origin))


def _truncate(values: tf.Tensor) -> tf.Tensor:
    """Clip to 0..255 and cut off, as Pillow's `blend` does."""
    return tf.cast(clip_to_bytes(values), tf.uint8)


def _per_image(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]
