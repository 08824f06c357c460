"""What carries the accuracy: channels, color, frequencies and regions, by permutation. Heavy zone.

Breiman, 2001, "Random Forests", section 10, as Fisher et al., 2019, "All Models are Wrong, but Many
are Useful" make it independent of the model: a feature of every image is taken from another image,
and the fall of the accuracy says how much the model depends on it. What is taken keeps the
distribution that it has in the data.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy

from imgcls.explanation.network import Network

GRID = 4
"""Regions along a side of the image."""
BANDS = (1 / 16, 1 / 8, 1 / 4)
"""Borders between bands of frequencies, in cycles a pixel; 1/2 is the highest along an axis."""
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601
_COLORS = ("red", "green", "blue")

Kind = Literal["channel", "color", "frequencies", "region"]
Replace = Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]
"""From images and others, both float32 (n, height, width, channels), to the images with a feature
of the others."""


@dataclass(frozen=True)
class Feature:
    """Something of an image that another image has too.

    Attributes:
        name: such as `region 1, 2`.
        place: of a region, its row and column from 0.
    """

    kind: Kind
    name: str
    replace: Replace
    place: tuple[int, int] | None = None


def list_features(shape: tuple[int, ...]) -> list[Feature]:
    """Return the features of images of a shape (height, width, channels)."""
    return [
        *_list_channels(shape[2]),
        *_list_bands(shape[:2]),
        *_list_regions(shape[:2]),
    ]


def measure(
    network: Network,
    images: numpy.ndarray,
    labels: numpy.ndarray,
    right: numpy.ndarray,
    count: int,
    seed: int,
) -> Iterator[tuple[Feature, numpy.ndarray]]:
    """Yield each feature, with how much less often each image is right without its own.

    Args:
        images: uint8 (n, height, width, channels), at least two.
        labels: true class numbers, (n,).
        right: what `predict_right` returns of the images as they are.
        count: permutations that are averaged.

    Yields:
        The feature; and 1 or 0 for a right or wrong prediction, minus its mean over permutations,
        float64 (n,).
    """
    generator = numpy.random.Generator(numpy.random.Philox(seed))
    donors = [derange(len(images), generator) for _ in range(count)]
    for feature in list_features(images.shape[1:]):
        permuted = [predict_right(network, images, labels, feature, donor) for donor in donors]
        yield feature, right - numpy.mean(permuted, axis=0)


def predict_right(
    network: Network,
    images: numpy.ndarray,
    labels: numpy.ndarray,
    feature: Feature | None = None,
    donors: numpy.ndarray | None = None,
) -> numpy.ndarray:
    """Return 1 for images whose predicted class is the true one, else 0, float64 (n,).

    Args:
        feature: that each image takes from another one.
        donors: the indices of these others.
    """
    right = numpy.empty(len(images))
    for rows in network.divide(numpy.arange(len(images))):
        pixels = images[rows].astype(numpy.float32)
        if feature is not None and donors is not None:
            pixels = feature.replace(pixels, images[donors[rows]].astype(numpy.float32))
        logits = network.compute_logits(numpy.clip(pixels, 0, 255))
        right[rows] = logits.argmax(axis=1) == labels[rows]
    return right


def derange(count: int, generator: numpy.random.Generator) -> numpy.ndarray:
    """Return a permutation in which no number keeps its place: a random cycle (Sattolo, 1986)."""
    order = generator.permutation(count)
    cycle = numpy.empty(count, int)
    cycle[order] = numpy.roll(order, -1)
    return cycle


def _list_channels(channels: int) -> list[Feature]:
    """Return the channels, and of RGB images their color; of one channel, nothing is left."""
    if channels == 1:
        return []
    names = _COLORS if channels == 3 else [str(number) for number in range(1, channels + 1)]

    def replace_channel(number: int) -> Replace:
        def replace(images: numpy.ndarray, others: numpy.ndarray) -> numpy.ndarray:
            changed = images.copy()
            changed[..., number] = others[..., number]
            return changed

        return replace

    found = [
        Feature("channel", f"channel {name}", replace_channel(i)) for i, name in enumerate(names)
    ]
    if channels == 3:
        found.append(Feature("color", "color, without brightness", _replace_color))
    return found


def _replace_color(images: numpy.ndarray, others: numpy.ndarray) -> numpy.ndarray:
    """Return the brightness of images with the color of others."""
    brightness, other = (_compute_luma(each) for each in (images, others))
    return others + (brightness - other)


def _compute_luma(images: numpy.ndarray) -> numpy.ndarray:
    return (images @ numpy.array(_LUMA, numpy.float32))[..., None]


def _list_bands(size: tuple[int, ...]) -> list[Feature]:
    """Return the mean of the pixels, and bands of the frequencies that images of a size have."""
    height, width = size
    radius = numpy.hypot(numpy.fft.fftfreq(height)[:, None], numpy.fft.rfftfreq(width)[None])
    edges = [0.0, *BANDS, 1.0]
    masks = {"mean brightness": radius == 0}
    for low, high in itertools.pairwise(edges):
        name = f"{low:g} to {high:g}" if high < 1 else f"above {low:g}"
        masks[f"frequencies {name}"] = (radius > low) & (radius <= high)

    def replace_band(mask: numpy.ndarray) -> Replace:
        def replace(images: numpy.ndarray, others: numpy.ndarray) -> numpy.ndarray:
            axes = (1, 2)
            spectrum = numpy.fft.rfft2(others - images, axes=axes) * mask[..., None]
            band = numpy.fft.irfft2(spectrum, s=images.shape[1:3], axes=axes)
            return (images + band).astype(numpy.float32)

        return replace

    return [
        Feature("frequencies", name, replace_band(mask))
        for name, mask in masks.items()
        if mask.any()
    ]


def _list_regions(size: tuple[int, ...]) -> list[Feature]:
    """Return the regions of a grid."""
    rows, columns = (min(GRID, side) for side in size)

    def replace_region(row: int, column: int) -> Replace:
        top, bottom = (each * size[0] // rows for each in (row, row + 1))
        left, right = (each * size[1] // columns for each in (column, column + 1))

        def replace(images: numpy.ndarray, others: numpy.ndarray) -> numpy.ndarray:
            changed = images.copy()
            changed[:, top:bottom, left:right] = others[:, top:bottom, left:right]
            return changed

        return replace

    return [
        Feature("region", f"region {i + 1}, {j + 1}", replace_region(i, j), (i, j))
        for i in range(rows)
        for j in range(columns)
    ]
