"""Explains images by a method, and scores its maps. Heavy zone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy

from imgcls import parts
from imgcls.config import Evaluate, Experiment
from imgcls.errors import DivergenceError
from imgcls.explainers import ExplainerSettings, Target
from imgcls.explanation import perturbation, randomization, sentences
from imgcls.explanation.intervals import compute_mean_interval
from imgcls.explanation.network import Network
from imgcls.explanation.perturbation import Areas
from imgcls.explanation.record import (
    CurveScore,
    MethodScores,
    Provenance,
    RandomizedLayers,
    Region,
)
from imgcls.io import terminal
from imgcls.seeds import derive_seed

RANDOMIZED_IMAGES = 8
"""Images for which maps are computed again with random weights, at most."""
MOST_REGIONS = 20
"""Classes whose mean maps are kept, at most: those with most images."""


@dataclass(frozen=True)
class Method:
    """The maps of a method, with their scores.

    Attributes:
        maps: float32 (images, height, width).
        own: areas under the curves of each map.
        random: those of a random map for each image.
        region_labels: the classes that `region_maps` are of.
        region_counts: how many images each of them has.
        region_maps: mean absolute maps, each of which sums to 1, float32 (classes, height, width).
        stages: the comparison with maps of random weights.
    """

    settings: ExplainerSettings
    maps: numpy.ndarray
    own: list[Areas]
    random: list[Areas]
    region_labels: list[int]
    region_counts: list[int]
    region_maps: numpy.ndarray
    stages: list[RandomizedLayers]


def explain(
    network: Network,
    settings: ExplainerSettings,
    images: Sequence[Target],
    evaluate: Evaluate,
    seed: int,
) -> Method:
    """Explain images by a method, and score the maps.

    Args:
        evaluate: how intervals are computed.
        seed: of random weights and bootstrap samples.

    Raises:
        UserError: the method does not suit the network.
        DivergenceError: a map is not finite.
    """
    part = parts.load_for("explainers", settings)

    def make(image: Target) -> numpy.ndarray:
        found: numpy.ndarray = part.explain(settings, network, image)
        return found

    heats = [make(image) for image in _show(images, settings.name)]
    _require_finite(heats, settings)
    pairs = list(zip(images, heats, strict=True))
    areas = [perturbation.measure(network, *pair) for pair in _show(pairs, "scores")]
    some = images[:RANDOMIZED_IMAGES]
    stages = [
        _describe_stage(stage, network, evaluate, seed)
        for stage in randomization.compare(network, make, some, heats[: len(some)], seed)
    ]
    maps = numpy.stack(heats)
    regions = compute_regions(maps, numpy.array([image.label for image in images]))
    own, random = ([pair[i] for pair in areas] for i in (0, 1))
    return Method(settings, maps, own, random, *regions, stages)


def _show(items: Sequence, name: str) -> Iterable:  # type: ignore[type-arg]  # of any type
    return terminal.track(items, len(items), name)


def _require_finite(heats: Sequence[numpy.ndarray], settings: ExplainerSettings) -> None:
    broken = [i for i, heat in enumerate(heats) if not numpy.isfinite(heat).all()]
    if broken:
        raise DivergenceError(
            f"{settings.name} gives values that are not finite for {len(broken)} of {len(heats)}"
            " images: the gradients or logits of this model overflow; train again with a lower"
            " learning rate"
        )


def compute_regions(
    maps: numpy.ndarray, labels: numpy.ndarray
) -> tuple[list[int], list[int], numpy.ndarray]:
    """Return the mean absolute map of the classes with most images; each image counts the same.

    Args:
        maps: float32 (images, height, width).
        labels: the explained class of each, int (images,).

    Returns:
        The classes, the one with most images first; how many images each has; and float32
        (classes, height, width).
    """
    sizes = numpy.abs(maps)
    sums = sizes.sum(axis=(1, 2), keepdims=True)
    shares = numpy.divide(sizes, sums, out=numpy.zeros_like(sizes), where=sums > 0)
    found, counts = numpy.unique(labels, return_counts=True)
    order = numpy.argsort(-counts, kind="stable")[:MOST_REGIONS]
    means = [shares[labels == label].mean(axis=0) for label in found[order]]
    return found[order].tolist(), counts[order].tolist(), numpy.stack(means)


def _describe_stage(
    stage: randomization.RandomizedStage, network: Network, evaluate: Evaluate, seed: int
) -> RandomizedLayers:
    return RandomizedLayers(
        layers=stage.layers,
        of=len(randomization.list_layers(network)),
        first=stage.first,
        similarity=float(numpy.clip(stage.similarities.mean(), -1, 1)),
        similarity_interval=compute_mean_interval(stage.similarities, evaluate, seed),
    )


def describe(
    method: Method, made_of: Provenance, experiment: Experiment, classes: Sequence[str]
) -> MethodScores:
    """Return the record of a method.

    Args:
        classes: class names, of a split; empty for files, which have no regions.
    """
    evaluate, seed = experiment.evaluate, derive_seed(experiment.seed, "explain")
    own, random = (
        numpy.array([(each.deletion, each.insertion) for each in areas])
        for areas in (method.own, method.random)
    )
    deletion = _compare(own[:, 0], random[:, 0], -1, evaluate, seed)
    insertion = _compare(own[:, 1], random[:, 1], 1, evaluate, seed)
    count = len(method.maps)
    return MethodScores(
        **made_of.model_dump(),
        method=method.settings.name,
        settings=method.settings.model_dump(exclude={"name"}),
        baseline=experiment.explain.baseline,
        images=count,
        deletion=deletion,
        insertion=insertion,
        randomization=method.stages,
        randomized_images=min(count, RANDOMIZED_IMAGES),
        regions=_describe_regions(method, classes) if classes else [],
        finding=sentences.describe_finding(method.settings.name, deletion, insertion, count),
        advice=sentences.describe_advice(deletion, insertion, method.stages, count),
    )


def _compare(
    own: numpy.ndarray, random: numpy.ndarray, sign: int, evaluate: Evaluate, seed: int
) -> CurveScore:
    """Return the score of areas; `sign` is 1 where a larger area is better, else -1."""
    gains = sign * (own - random)
    return CurveScore(
        area=float(numpy.clip(own.mean(), 0, 1)),
        random_area=float(numpy.clip(random.mean(), 0, 1)),
        gain=float(gains.mean()),
        gain_interval=compute_mean_interval(gains, evaluate, seed),
    )


def _describe_regions(method: Method, classes: Sequence[str]) -> list[Region]:
    height, width = method.maps.shape[1:]
    rows, columns = (_measure_depth(side) for side in (height, width))
    depth = numpy.minimum(rows[:, None], columns[None])
    return [
        Region(
            name=classes[label],
            images=images,
            center=float(numpy.clip(heat[depth >= 1 / 4].sum(), 0, 1)),
            border=float(numpy.clip(heat[depth < 1 / 8].sum(), 0, 1)),
        )
        for label, heat, images in zip(
            method.region_labels, method.region_maps, method.region_counts, strict=True
        )
    ]


def _measure_depth(side: int) -> numpy.ndarray:
    """Return the distance of each pixel's center to the nearer end, as a fraction of the side."""
    positions = (numpy.arange(side) + 0.5) / side
    return numpy.minimum(positions, 1 - positions)
