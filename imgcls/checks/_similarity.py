"""Which images look alike: found by perceptual hash, confirmed by thumbnail, and joined to groups.
Light zone.

Two hashes that differ in d bits of 64 agree in at least two of d + 2 blocks of bits. So every pair
of blocks makes a table, sorted by the bits of the two, and only images that are equal there are
compared (Manku, Jain and Das Sarma, 2007, "Detecting near-duplicates for web crawling", section 3).
The blocks interleave, since neighbouring frequencies are correlated. Images of one look and label
count as one, so that thousands of blank images cost nothing; and an image is compared with the next
`WINDOW` of its table at most. Memory is linear in the number of images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

MAX_NEIGHBORS = 512
"""All pairs within the distance are found where no more than so many distinct looks agree in two
blocks; beyond that, neighbours are.
"""
_FLAT = 32.0
"""Grey levels: thumbnails of a smaller std are not stretched to 1, which would blow up the noise
of skies and blank pages to a pattern.
"""
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Similarity:
    """How near two images are that count as the same picture.

    Attributes:
        distance: largest number of bits in which their hashes differ.
        difference: largest mean absolute difference of their thumbnails, both brought to mean 0
            and, unless they are flat, std 1.
        brightness: largest mean absolute difference of their thumbnails as they are, in grey
            levels.
    """

    distance: int
    difference: float
    brightness: float


def group_similar(
    hashes: "numpy.ndarray",
    thumbnails: "numpy.ndarray",
    labels: "numpy.ndarray",
    similarity: Similarity,
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Join images that look alike, directly or by way of others, once among those of one label and
    once across labels.

    Args:
        hashes: uint64 (n,).
        thumbnails: uint8 (n, 8, 8).
        labels: int32 (n,).

    Returns:
        Group numbers, int64 (n,) each: images of one number look alike and have one label; and
        images of one number look alike, each to one of another label. In the second, images of
        equal look and label share a number also where nothing contradicts them.
    """
    import numpy

    words = numpy.ascontiguousarray(thumbnails).reshape(-1, 64).view("<u8")
    looks, first = number_equal_rows([labels, *words.T, hashes])
    same, contradicting = numpy.arange(len(first)), numpy.arange(len(first))
    for a, b in _iterate_pairs(hashes[first], thumbnails[first], similarity):
        agree = labels[first[a]] == labels[first[b]]
        same = _join(same, a[agree], b[agree])
        contradicting = _join(contradicting, a[~agree], b[~agree])
    return same[looks], contradicting[looks]


def number_equal_rows(columns: "list[numpy.ndarray]") -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Number the distinct rows of a table in the order of its last column: the number of each row,
    int64 (n,), and each one's first row.
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
    """Return group numbers after joining the groups of each pair."""
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
    """Yield the pairs that look alike, a table at a time; a pair comes as often as tables hold it.
    The hashes are sorted.
    """
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
            (order[numpy.concatenate(side)] for side in zip(*found, strict=True))
            if found
            else (order[:0], order[:0])
        )
        alike = _confirm_by_thumbnail(thumbnails, a, b, similarity)
        yield a[alike], b[alike]


def _find_near_hashes(
    hashes: "numpy.ndarray", keys: "numpy.ndarray", distance: int, equal_hashes: bool
) -> "Iterator[tuple[numpy.ndarray, numpy.ndarray]]":
    """Yield the places of two hashes of one key within a distance; of equal hashes, which every
    table holds, in one table only.
    """
    import numpy

    places = numpy.arange(len(keys))
    for step in range(1, MAX_NEIGHBORS + 1):
        places = places[: numpy.searchsorted(places, len(keys) - step)]
        places = places[keys[places] == keys[places + step]]
        if not len(places):
            return
        bits = numpy.bitwise_count(hashes[places] ^ hashes[places + step])
        chosen = places[(bits <= distance) & ((bits > 0) | equal_hashes)]
        yield chosen, chosen + step


def _confirm_by_thumbnail(
    thumbnails: "numpy.ndarray", a: "numpy.ndarray", b: "numpy.ndarray", similarity: Similarity
) -> "numpy.ndarray":
    """Tell of each pair whether the thumbnails confirm it, bool."""
    import numpy

    alike = numpy.zeros(len(a), bool)
    for start in range(0, len(a), _CHUNK):
        block = slice(start, start + _CHUNK)
        one, other = (
            thumbnails[side[block]].reshape(-1, 64).astype(numpy.float32) for side in (a, b)
        )
        near = numpy.abs(one - other).mean(axis=1) <= similarity.brightness
        alike[block] = near & (
            numpy.abs(_standardize(one) - _standardize(other)).mean(axis=1) <= similarity.difference
        )
    return alike


def _standardize(grey: "numpy.ndarray") -> "numpy.ndarray":
    """Bring grey values (n, 64) to mean 0 and std 1, so that brightness and contrast make no
    difference; flat ones to less.
    """
    import numpy

    centred = grey - grey.mean(axis=1, keepdims=True)
    return centred / numpy.maximum(centred.std(axis=1, keepdims=True), _FLAT)
