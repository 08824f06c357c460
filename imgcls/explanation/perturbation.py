"""Deletion and insertion: does the prediction depend on what a map marks? Heavy zone.

Petsiuk et al., 2018, "RISE", section 4.2: cells of the image are replaced by the baseline, from the
highest value of the map to the lowest, and the probability of the explained class is followed
(deletion); or they are put back into the baseline (insertion). A random map does the same in a
random order of the same cells, as in Samek et al., 2017, "Evaluating the Visualization of What a
Deep Neural Network Has Learned": both orders make edges of the same kind, so only the place counts.
"""

from dataclasses import dataclass

import numpy

from imgcls.explainers import Target
from imgcls.explanation.network import Network

MOST_CELLS = 14
"""Cells along a side of the image, at most."""
STEPS = 20
"""Steps in which all cells are replaced, at most."""


@dataclass(frozen=True)
class Areas:
    """Areas under the curves of the probability over the fraction of cells, 0..1.

    Attributes:
        deletion: low if the map marks what the prediction depends on.
        insertion: high if it does.
    """

    deletion: float
    insertion: float


def measure(network: Network, image: Target, heat: numpy.ndarray) -> tuple[Areas, Areas]:
    """Return the areas of a map, and those of a random one.

    Args:
        heat: the map, float32 (height, width).
    """
    cells = divide_into_cells(*heat.shape)
    values = numpy.bincount(cells.ravel(), heat.ravel()) / numpy.bincount(cells.ravel())
    order = numpy.argsort(-values, kind="stable")
    generator = numpy.random.Generator(numpy.random.Philox(image.seed + 1))
    shuffled = generator.permutation(len(values))
    own, other = (_measure_order(network, image, cells, each) for each in (order, shuffled))
    return own, other


def divide_into_cells(height: int, width: int) -> numpy.ndarray:
    """Return the number of each pixel's cell, int64 (height, width)."""
    rows, columns = min(height, MOST_CELLS), min(width, MOST_CELLS)
    row = numpy.arange(height) * rows // height
    column = numpy.arange(width) * columns // width
    return row[:, None] * columns + column


def _measure_order(
    network: Network, image: Target, cells: numpy.ndarray, order: numpy.ndarray
) -> Areas:
    """Return the areas where cells are replaced in an order."""
    rank = numpy.empty(len(order), int)
    rank[order] = numpy.arange(len(order))
    ranks = rank[cells][..., None]
    counts = numpy.linspace(0, len(order), min(STEPS, len(order)) + 1).round()
    fractions = counts / len(order)
    areas = []
    for inside, outside in ((image.baseline, image.pixels), (image.pixels, image.baseline)):
        curve = [
            network.compute_probabilities(
                numpy.stack([numpy.where(ranks < count, inside, outside) for count in some])
            )[:, image.label]
            for some in network.divide(counts)
        ]
        areas.append(float(numpy.trapezoid(numpy.concatenate(curve), fractions)))
    return Areas(*areas)
