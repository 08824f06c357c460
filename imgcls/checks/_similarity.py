"""Groups of similar images: found by perceptual hash and confirmed by thumbnail. Light zone.

Two hashes that differ in d bits of 64 agree in at least two of d + 2 blocks of bits. So there is a
table for every pair of blocks, sorted by their bits, and only images with equal bits are compared
(Manku, Jain and Das Sarma, 2007, "Detecting near-duplicates for web crawling", section 3). The
blocks interleave, since neighboring frequencies are correlated. Images with the same statistics and
label count as one, so that thousands of blank images cost nothing, and an image is compared with at
most the next `MAX_NEIGHBORS` of its table. Memory is linear in the number of images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.checks import CheckSettings

if TYPE_CHECKING:
    import numpy

MAX_NEIGHBORS = 512
"""All pairs within the distance are found if at most this many distinct images agree in two blocks;
beyond that only neighbors in the table."""
_FLAT = 32.0
"""Gray levels: thumbnails with a smaller std are not stretched to std 1, which would amplify the
noise of skies and blank pages to a pattern."""
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Similarity:
    """The near-duplicate thresholds.

    Attributes:
        distance: largest number of bits in which two hashes differ.
        difference: largest mean absolute difference of two thumbnails, standardized to mean 0 and,
            unless they are flat, std 1.
        brightness: largest mean absolute difference of two thumbnails as they are, in gray levels.
        color: largest difference of the mean colors of two images at equal brightness, in levels.
    """

    distance: int
    difference: float
    brightness: float
    color: float


class SimilaritySettings(CheckSettings):
    """The settings of checks that compare images."""

    distance: Annotated[int, Field(ge=0, le=8)] = 4
    """Largest number of bits of the 64-bit perceptual hashes that differ. Nearly always 32 bits are
    set, so that distances are even."""
    difference: Annotated[float, Field(ge=0)] = 0.025
    """Largest mean absolute difference of the 8x8 thumbnails, standardized to mean 0 and std 1."""
    brightness: Annotated[float, Field(ge=0)] = 32.0
    """Largest mean absolute difference of the thumbnails as they are, in gray levels of 0..255."""

    color: Annotated[float, Field(ge=0)] = 5.0
    """Largest difference of the mean red, green or blue of two images, in levels of 0..255, after
    both are brought to the same brightness. So a blue and a red circle are not copies."""

    @property
    def similarity(self) -> Similarity:
        """The four thresholds as one value."""
        return Similarity(self.distance, self.difference, self.brightness, self.color)


def group_similar(
    hashes: "numpy.ndarray",
    thumbnails: "numpy.ndarray",
    colors: "numpy.ndarray",
    labels: "numpy.ndarray",
    similarity: Similarity,
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Group similar images, directly or through others, within labels and across labels.

    Args:
        hashes: uint64 (n,).
        thumbnails: uint8 (n, 8, 8).
        colors: mean red, green and blue, float32 (n, 3).
        labels: int32 (n,).

    Returns:
        Two arrays of group numbers, int64 (n,). The first joins similar images with equal labels,
        the second each image and similar ones with other labels; in the second, images with equal
        statistics and labels have the same number even if no other image is similar.
    """
    import numpy

    words = numpy.ascontiguousarray(thumbnails).reshape(-1, 64).view("<u8")
    distinct, first = number_equal_rows([labels, *words.T, *colors.T, hashes])
    same, conflicting = numpy.arange(len(first)), numpy.arange(len(first))
    for a, b in _iterate_pairs(hashes[first], thumbnails[first], similarity):
        close = _have_near_colors(colors[first[a]], colors[first[b]], similarity.color)
        a, b = a[close], b[close]
        agree = labels[first[a]] == labels[first[b]]
        same = _join(same, a[agree], b[agree])
        conflicting = _join(conflicting, a[~agree], b[~agree])
    return same[distinct], conflicting[distinct]


def number_equal_rows(columns: "list[numpy.ndarray]") -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Number the distinct rows of a table, in the order of its last column.

    Returns:
        The number of each row, int64 (n,), and the first row with each number.
    """
    import numpy

    order = numpy.lexsort(columns)
    new = numpy.zeros(len(order), bool)
    new[:1] = True
    for column in columns:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    numbers = numpy.empty(len(order), numpy.int64)
    numbers[order] = numpy.cumsum(new) - 1
    return numbers, order[new]


def _join(group: "numpy.ndarray", a: "numpy.ndarray", b: "numpy.ndarray") -> "numpy.ndarray":
    """Join the groups of each pair; return the group numbers."""
    import numpy
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(a):
        return group
    edges = coo_array(
        (numpy.ones(len(a), bool), (group[a], group[b])), shape=(len(group), len(group))
    )
    return connected_components(edges, directed=False)[1][group].astype(numpy.int64)


def _iterate_pairs(
    hashes: "numpy.ndarray", thumbnails: "numpy.ndarray", similarity: Similarity
) -> "Iterator[tuple[numpy.ndarray, numpy.ndarray]]":
    """Yield the pairs of similar images in each table, in which pairs may repeat; sorted hashes."""
    import numpy

    count = similarity.distance + 2
    for number, blocks in enumerate(combinations(range(count), 2)):
        mask = numpy.uint64(sum(1 << bit for bit in range(64) if bit % count in blocks))
        keys = hashes & mask
        order = numpy.argsort(keys, kind="stable")
        found = list(
            _find_near_hashes(
                hashes[order], keys[order], similarity.distance, equal_hashes=number == 0
            )
        )
        a, b = (
            (order[numpy.concatenate(column)] for column in zip(*found, strict=True))
            if found
            else (order[:0], order[:0])
        )
        similar = _confirm_by_thumbnail(thumbnails, a, b, similarity)
        yield a[similar], b[similar]


def _find_near_hashes(
    hashes: "numpy.ndarray", keys: "numpy.ndarray", distance: int, equal_hashes: bool
) -> "Iterator[tuple[numpy.ndarray, numpy.ndarray]]":
    """Yield the indices of pairs of hashes with equal keys that are within a distance.

    Args:
        equal_hashes: whether to yield pairs of equal hashes, which are in every table.
    """
    import numpy

    indices = numpy.arange(len(keys))
    for step in range(1, MAX_NEIGHBORS + 1):
        indices = indices[: numpy.searchsorted(indices, len(keys) - step)]
        indices = indices[keys[indices] == keys[indices + step]]
        if not len(indices):
            return
        bits = numpy.bitwise_count(hashes[indices] ^ hashes[indices + step])
        chosen = indices[(bits <= distance) & ((bits > 0) | equal_hashes)]
        yield chosen, chosen + step


def _confirm_by_thumbnail(
    thumbnails: "numpy.ndarray", a: "numpy.ndarray", b: "numpy.ndarray", similarity: Similarity
) -> "numpy.ndarray":
    """Return, for each pair, whether the thumbnails are similar too, bool (n,)."""
    import numpy

    similar = numpy.zeros(len(a), bool)
    for start in range(0, len(a), _CHUNK):
        block = slice(start, start + _CHUNK)
        one, other = (
            thumbnails[each[block]].reshape(-1, 64).astype(numpy.float32) for each in (a, b)
        )
        near = numpy.abs(one - other).mean(axis=1) <= similarity.brightness
        similar[block] = near & (
            numpy.abs(_standardize(one) - _standardize(other)).mean(axis=1) <= similarity.difference
        )
    return similar


def _have_near_colors(
    one: "numpy.ndarray", other: "numpy.ndarray", color: float
) -> "numpy.ndarray":
    """Return, for each pair of mean colors (n, 3), whether they are near at equal brightness."""
    import numpy

    light, other_light = one.mean(axis=1), other.mean(axis=1)
    level = (light + other_light) / 2
    scaled = one * (level / numpy.maximum(light, 1))[:, None]
    other_scaled = other * (level / numpy.maximum(other_light, 1))[:, None]
    return numpy.abs(scaled - other_scaled).max(axis=1) <= color


def _standardize(gray: "numpy.ndarray") -> "numpy.ndarray":
    """Scale gray values (n, 64) to mean 0 and std 1, or less for flat ones, to ignore contrast."""
    import numpy

    centered = gray - gray.mean(axis=1, keepdims=True)
    return centered / numpy.maximum(centered.std(axis=1, keepdims=True), _FLAT)
