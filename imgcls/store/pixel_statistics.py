"""Mean and std of the training pixels, which the model's preprocessing needs. Light zone."""

import math
from typing import TYPE_CHECKING

from imgcls.store.reader import Reader

if TYPE_CHECKING:
    import numpy

_BLOCK = 4 << 20  # bytes of pixels counted at a time
_SAMPLE = 10_000


def compute_pixel_statistics(
    reader: Reader, indices: "numpy.ndarray"
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return mean and population std of each channel over some images at the reader's
    geometry, float32 (channels,), in 0..255.

    Where every image must be decoded or resized for that, up to 10,000 of them count, spread
    evenly.

    The pixels are counted value by value in blocks, so that the sums are exact however many images
    there are, and memory is bounded.
    """
    import numpy

    channels = reader.geometry.shape[2]
    if reader.larger and len(indices) > _SAMPLE:
        indices = indices[numpy.linspace(0, len(indices) - 1, _SAMPLE).round().astype(numpy.int64)]
    counts = numpy.zeros((channels, 256), numpy.int64)
    step = max(1, _BLOCK // math.prod(reader.geometry.shape))
    for start in range(0, len(indices), step):
        block = reader.read(indices[start : start + step])
        for channel in range(channels):
            counts[channel] += numpy.bincount(block[..., channel].ravel(), minlength=256)
    values = numpy.arange(256)
    pixels = counts.sum(axis=1)
    mean = counts @ values / pixels
    variance = ((values - mean[:, None]) ** 2 * counts).sum(axis=1) / pixels
    return mean.astype(numpy.float32), numpy.sqrt(variance).astype(numpy.float32)
