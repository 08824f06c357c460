"""Does a map depend on what the network has learned? Its weights are made random. Heavy zone.

Adebayo et al., 2018, "Sanity Checks for Saliency Maps", section 3.1: the layers lose their learned
weights one after the other, from the last to the first (cascading randomization), and each time the
maps are compared with those of the trained network. A method whose maps stay the same shows the
picture, and not the network. Here, the values of each kernel are shuffled instead of drawn anew,
and the vectors of a layer in one common order, so that sizes stay those of the trained network.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from imgcls.explainers import Target
from imgcls.explanation.network import Network

MOST_STAGES = 5
"""How often maps are compared, at most: after the last layer, after all, and evenly in between."""

Explain = Callable[[Target], numpy.ndarray]


@dataclass(frozen=True)
class RandomizedStage:
    """The maps of a network whose last layers are random.

    Attributes:
        layers: how many layers with weights are random.
        first: the name of the first of them.
        similarities: rank correlation (Spearman) with the map of the trained network, of each
            image, -1..1.
    """

    layers: int
    first: str
    similarities: numpy.ndarray


def compare(
    network: Network,
    explain: Explain,
    images: Sequence[Target],
    maps: Sequence[numpy.ndarray],
    seed: int,
) -> Iterator[RandomizedStage]:
    """Yield how similar the maps stay, with more and more layers random; the last stage has all.

    Absolute values are compared: random weights change signs by chance. The network has its own
    weights again at the end.

    Args:
        explain: returns the map of an image.
        maps: those of the trained network.
    """
    layers = list_layers(network)
    generator = numpy.random.Generator(numpy.random.Philox(seed))
    ends = numpy.linspace(1, len(layers), min(MOST_STAGES, len(layers))).round().astype(int)
    with restore_weights(network):
        done = 0
        for end in ends.tolist():
            for layer in layers[done:end]:
                shuffle(layer, generator)
            done = end
            found = [
                correlate(numpy.abs(explain(image)), numpy.abs(heat))
                for image, heat in zip(images, maps, strict=True)
            ]
            yield RandomizedStage(end, layers[end - 1].name, numpy.array(found))


def list_layers(network: Network) -> list[Any]:
    """Return the layers with weights, from the last to the first."""
    layers = {id(call.operation): call.operation for call in reversed(network.calls)}
    return [layer for layer in layers.values() if getattr(layer, "weights", [])]


def shuffle(layer: Any, generator: numpy.random.Generator) -> None:
    """Shuffle the values of each kernel of a layer; its vectors in one order."""
    vectors = [each for each in layer.weights if len(each.shape) == 1]
    orders = {each.shape[0]: generator.permutation(each.shape[0]) for each in vectors}
    for variable in layer.weights:
        values = variable.numpy()
        if len(variable.shape) == 1:
            variable.assign(values[orders[len(values)]])
        else:
            variable.assign(generator.permutation(values.ravel()).reshape(values.shape))


@contextlib.contextmanager
def restore_weights(network: Network) -> Iterator[None]:
    """Restore the network's weights at the end of the block."""
    weights = network.model.get_weights()
    try:
        yield
    finally:
        network.model.set_weights(weights)


def correlate(one: numpy.ndarray, other: numpy.ndarray) -> float:
    """Return the rank correlation of two maps (Spearman), -1..1; 0 if one of them is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(each) - (each.size + 1) / 2 for each in (one, other)]
    lengths = [float(numpy.sqrt((each**2).sum())) for each in ranks]
    if not all(lengths):
        return 0.0
    return float((ranks[0] * ranks[1]).sum() / (lengths[0] * lengths[1]))
