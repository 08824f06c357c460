"""Operations on levels and colors, as Pillow defines them, with a strength per image. Heavy zone.

Each takes uint8 images (batch, height, width, channels) and, if it has a strength, float32 or int32
(batch,). The gray level of a pixel is its luma (ITU-R 601-2) if it has three channels, else the
mean of its channels.
"""

from imgcls.augmentations._bytes import clip_to_bytes, round_to_bytes
from imgcls.backend import tf


def to_grayscale(images: tf.Tensor) -> tf.Tensor:
    """Return each pixel's gray level in all channels: Pillow's `convert("L")`, to the bit."""
    channels = images.shape[-1]
    # Repeating bytes takes a fifth of the time of broadcasting or stacking them.
    return tf.reshape(
        tf.repeat(tf.reshape(_compute_luma(images), [-1]), channels), tf.shape(images)
    )


def adjust_brightness(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Multiply by a factor: `ImageEnhance.Brightness`."""
    return _truncate(tf.cast(images, tf.float32) * _expand(factors))


def adjust_contrast(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Scale the distance from the image's mean gray, an integer: `ImageEnhance.Contrast`."""
    height, width = images.shape[1:3]
    # Integers, so exact: float32 up to the sums of rows, then float64.
    rows = tf.reduce_sum(tf.cast(_compute_luma(images), tf.float32), axis=2)
    mean = tf.reduce_sum(tf.cast(rows, tf.float64), axis=1) / (height * width)
    gray = _expand(tf.cast(tf.floor(mean + 0.5), tf.float32))
    return _scale_distance(gray, tf.cast(images, tf.float32), factors)


def adjust_saturation(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Scale the distance from each pixel's gray level: `ImageEnhance.Color`.

    Images of one channel stay as they are.
    """
    if images.shape[-1] == 1:
        return images
    gray, pixels = (tf.cast(each, tf.float32) for each in (to_grayscale(images), images))
    return _scale_distance(gray, pixels, factors)


def adjust_sharpness(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Scale the distance from the smoothed image: `ImageEnhance.Sharpness`.

    Border pixels stay as they are.
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


def adjust_hue(images: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Shift the hue of RGB images by a fraction of the color circle, in HSV."""
    hsv = tf.image.rgb_to_hsv(tf.cast(images, tf.float32) / 255)
    hue_only = tf.constant([1.0, 0.0, 0.0])
    shifted = hsv + _expand(shifts) * hue_only
    return round_to_bytes(tf.image.hsv_to_rgb(shifted - tf.floor(shifted * hue_only)) * 255)


def solarize(images: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """Invert the levels from a threshold up, int32 in 0..256: `ImageOps.solarize`."""
    bright = tf.cast(images, tf.int32) >= _expand(thresholds)
    return tf.bitwise.bitwise_xor(images, 255 * tf.cast(bright, tf.uint8))


def posterize(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keep the upper bits of each byte, int32 in 0..8: `ImageOps.posterize`."""
    mask = tf.bitwise.left_shift(tf.constant(255), 8 - bits)
    return tf.bitwise.bitwise_and(
        images, _expand(tf.cast(tf.bitwise.bitwise_and(mask, 255), tf.uint8))
    )


def autocontrast(images: tf.Tensor) -> tf.Tensor:
    """Stretch each channel to 0..255: `ImageOps.autocontrast`.

    A channel of one level stays as it is.
    """
    lowest, highest = (
        tf.cast(f(images, axis=[1, 2], keepdims=True), tf.float64)
        for f in (tf.reduce_min, tf.reduce_max)
    )
    stretches = highest > lowest
    # Pillow's own formula, in double: computed in another order, some levels are off by one.
    scale = tf.where(stretches, 255.0 / (highest - lowest), 1)
    return tf.cast(
        tf.cast(images, tf.float64) * scale - tf.where(stretches, lowest * scale, 0), tf.uint8
    )


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Flatten each channel's histogram: `ImageOps.equalize`."""
    batch = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    # Tables of 256 levels, one per channel of each image, one after the other.
    starts = 256 * (channels * tf.range(batch)[:, None] + tf.range(channels))
    entries = tf.cast(images, tf.int32) + starts[:, None, None, :]
    # Counting kernels refuse to run deterministically on a GPU; sums of integers do not depend on
    # the order, and this kernel knows it.
    counts = tf.math.unsorted_segment_sum(tf.ones_like(entries), entries, 256 * channels * batch)
    below = tf.cumsum(tf.reshape(counts, [-1, 256]), axis=1, exclusive=True)
    # As Pillow: the number of pixels below the highest level that occurs, over 255.
    step = tf.reduce_max(tf.where(below < height * width, below, 0), axis=1, keepdims=True) // 255
    flat = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    tables = tf.cast(tf.where(step > 0, flat, tf.range(256)), tf.uint8)
    return tf.gather(tf.reshape(tables, [-1]), entries)


def _compute_luma(images: tf.Tensor) -> tf.Tensor:
    """Return each pixel's gray level, rounded to nearest, halves up: uint8 (batch, height, width).

    Pillow's weights are multiples of 2**-16, so each product and sum is exact in float32, whatever
    the device. A matrix product is not: some GPUs round its arguments to ten bits.
    """
    channels = [tf.cast(channel, tf.float32) for channel in tf.unstack(images, axis=-1)]
    if len(channels) != 3:
        return round_to_bytes(tf.add_n(channels) / len(channels))
    weights = (19595 / 2**16, 38470 / 2**16, 7471 / 2**16)
    red, green, blue = (weight * channel for weight, channel in zip(weights, channels, strict=True))
    return round_to_bytes(red + green + blue)


def _scale_distance(origin: tf.Tensor, pixels: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    return _truncate(origin + _expand(factors) * (pixels - origin))


def _truncate(values: tf.Tensor) -> tf.Tensor:
    """Clip to 0..255 and truncate, as Pillow's `blend` does."""
    return tf.cast(clip_to_bytes(values), tf.uint8)


def _expand(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]
