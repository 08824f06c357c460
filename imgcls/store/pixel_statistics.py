"""Mean and std of the training pixels, for the model's preprocessing. Light zone."""

import math
from typing import TYPE_CHECKING

from imgcls.store.reader import Reader

if TYPE_CHECKING:
    import numpy

_BLOCK_BYTES = 4 << 20  # pixels counted at a time
_MAX_DECODED = 10_000


def compute_pixel_statistics(
    reader: Reader, indices: "numpy.ndarray"
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Compute the mean and population std per channel over some images, at the reader's geometry.

    If images must be decoded or resized, at most 10,000 are used, evenly spaced. The sums are exact
    for any number of images, since they are computed from a histogram of pixel values.

    Returns:
        Mean and std, float32 (channels,), in 0..255.
    """
    import numpy

    channels = reader.geometry.shape[2]
    if reader.needs_resize and len(indices) > _MAX_DECODED:
        positions = numpy.linspace(0, len(indices) - 1, _MAX_DECODED).round().astype(numpy.int64)
        indices = indices[positions]
    counts = numpy.zeros((channels, 256), numpy.int64)
    block_size = max(1, _BLOCK_BYTES // math.prod(reader.geometry.shape))
    for start in range(0, len(indices), block_size):
        block = reader.read(indices[start : start + block_size])
        for channel in range(channels):
            counts[channel] += numpy.bincount(block[..., channel].ravel(), minlength=256)
    values = numpy.arange(256)
    pixels = counts.sum(axis=1)
    mean = counts @ values / pixels
    variance = ((values - mean[:, None]) ** 2 * counts).sum(axis=1) / pixels
    return mean.astype(numpy.float32), numpy.sqrt(variance).astype(numpy.float32)
