"""Chunks of images, so that temporary arrays stay small beside the probabilities. Light zone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

ELEMENTS = 2**21
"""Elements of a chunk, at most: 16 MiB as float64."""


def divide_rows(matrix: "numpy.ndarray") -> Iterator[slice]:
    """Yield slices that together cover the rows of a matrix, (rows, columns)."""
    rows = max(1, ELEMENTS // matrix.shape[1])
    for start in range(0, len(matrix), rows):
        yield slice(start, start + rows)
