"""The scores of maps, and the importance of features: against brute force, and on networks of which
it is known what they use.
"""

import dataclasses
import itertools

import explained_networks as networks
import numpy
import pytest
from explained_networks import explain, make_target, random_pixels
from scipy.stats import spearmanr

from imgcls.backend import keras
from imgcls.config import Evaluate
from imgcls.explanation import methods, permutations, perturbation, randomization, sentences
from imgcls.explanation.images import Images
from imgcls.explanation.intervals import compute_mean_interval
from imgcls.explanation.record import CurveScore, RandomizedLayers

EVALUATE = Evaluate(metrics=[], bootstrap_samples=200)


def measure_by_hand(network, target, order, start, end):
    """Return the area while pixels of `start` become those of `end`, one after the other."""
    pixels, curve = start.copy(), []
    for place in [None, *order]:
        if place is not None:
            row, column = divmod(int(place), pixels.shape[1])
            pixels[row, column] = end[row, column]
        curve.append(network.compute_probabilities(pixels[None])[0, target.label])
    middles = [(one + two) / 2 for one, two in itertools.pairwise(curve)]
    return sum(middles) / len(order)


def test_deletion_and_insertion_are_the_areas_of_a_loop_over_pixels():
    network, _ = networks.make_linear((3, 4, 2))
    target = make_target(random_pixels(network), 2, baseline=77, seed=5)
    heat = numpy.random.default_rng(0).normal(size=(3, 4)).astype(numpy.float32)
    own, random = perturbation.measure(network, target, heat)
    order = numpy.argsort(-heat.ravel())
    image, baseline = target.pixels, target.baseline
    deleted = measure_by_hand(network, target, order, image, baseline)
    inserted = measure_by_hand(network, target, order, baseline, image)
    assert own.deletion == pytest.approx(deleted, abs=1e-6)
    assert own.insertion == pytest.approx(inserted, abs=1e-6)
    assert random != own
    again, _ = perturbation.measure(network, target, heat)
    assert again == own


def test_large_images_are_divided_into_cells_of_nearly_one_size():
    cells = perturbation.divide_into_cells(224, 30)
    counts = numpy.bincount(cells.ravel())
    assert len(counts) == 14 * 14
    assert set(counts.tolist()) == {16 * 2, 16 * 3}
    assert len(set(cells[:16, 0].tolist())) == 1
    assert numpy.bincount(perturbation.divide_into_cells(8, 9).ravel()).tolist() == [1] * 72


def test_what_a_network_looks_for_beats_a_random_map_and_its_opposite_does_not():
    network = networks.make_detector()
    pixels, mask = networks.plant_square()
    target = make_target(pixels, baseline=30)
    for sign in (1, -1):
        own, random = perturbation.measure(network, target, sign * mask.astype(numpy.float32))
        assert (own.deletion < random.deletion) == (sign == 1)
        assert (own.insertion > random.insertion) == (sign == 1)


def test_similarity_is_spearmans_with_ties():
    random = numpy.random.default_rng(0)
    one, other = (random.integers(0, 5, (7, 6)).astype(float) for _ in range(2))
    expected = spearmanr(one.ravel(), other.ravel()).statistic
    assert randomization.correlate(one, other) == pytest.approx(expected)
    assert randomization.correlate(one, numpy.ones((7, 6))) == 0


def test_layers_become_random_from_the_last_to_the_first_and_are_restored():
    network = networks.make_smooth()
    before = network.model.get_weights()
    seen = []

    def look(target):
        weights = network.model.get_weights()
        pairs = zip(before, weights, strict=True)
        seen.append([numpy.array_equal(one, other) for one, other in pairs])
        for one, other in zip(before, weights, strict=True):
            numpy.testing.assert_array_equal(numpy.sort(one.ravel()), numpy.sort(other.ravel()))
        return explain(network, target, "smooth_gradients", samples=2)

    target = make_target(random_pixels(network))
    heat = explain(network, target, "smooth_gradients", samples=2)
    stages = list(randomization.compare(network, look, [target], [heat], seed=0))
    assert [stage.layers for stage in stages] == [1, 2, 3]
    assert [stage.first for stage in stages][1:] == ["second", "first"]
    kernels = [same[::2] for same in seen]
    assert kernels == [[True, True, False], [True, False, False], [False, False, False]]
    for one, other in zip(before, network.model.get_weights(), strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_a_map_that_shows_only_the_picture_stays_the_same_and_is_not_to_be_believed():
    network = networks.make_smooth()
    images = [make_target(random_pixels(network, seed)) for seed in range(3)]
    edges = [numpy.abs(numpy.diff(each.pixels[..., 0], axis=0)) for each in images]
    stages = list(randomization.compare(network, lambda image: edges[0], images[:1], edges[:1], 0))
    assert [stage.similarities.tolist() for stage in stages] == [[1.0]] * 3
    assert sentences.describe_advice(score(0.1), score(0.1), [similar(1.0)], 64).startswith(
        "do not believe these maps: with random weights"
    )


def score(gain, width=0.05):
    return CurveScore(
        area=0.5, random_area=0.5, gain=gain, gain_interval=(gain - width, gain + width)
    )


def similar(value):
    return RandomizedLayers(
        layers=3, of=3, first="first", similarity=value, similarity_interval=(value, value)
    )


@pytest.mark.parametrize(
    ("deletion", "insertion", "images", "advice", "finding"),
    [
        (0.1, 0.1, 64, "these maps can be believed", "marks what the prediction depends on"),
        (0.1, 0.01, 64, "believe these maps with care", "beats a random map in one of two"),
        (0.1, -0.1, 64, "believe these maps with care", "is worse than a random map in a score"),
        (0.01, 0.01, 64, "do not believe these maps: neither", "is no better than a random map"),
        (0.1, 0.1, 9, "not decided: explain at least 10 images", "9 images are too few"),
    ],
)
def test_what_is_said_follows_from_the_intervals(deletion, insertion, images, advice, finding):
    scores = score(deletion), score(insertion)
    assert sentences.describe_advice(*scores, [similar(0.1)], images).startswith(advice)
    assert finding in sentences.describe_finding("grad_cam", *scores, images)
    assert sentences.describe_finding("grad_cam", *scores, images).startswith("Grad-CAM")


def test_the_interval_of_a_mean_encloses_it_and_shrinks_with_the_square_root():
    random = numpy.random.default_rng(0)
    few, many = random.normal(3, 1, 50), random.normal(3, 1, 5000)
    widths = []
    for values in (few, many):
        low, high = compute_mean_interval(values, EVALUATE, seed=1)
        assert low < values.mean() < high
        widths.append((high - low) / values.std())
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.3)
    assert widths[0] == pytest.approx(2 * 1.96 / 50**0.5, rel=0.2)
    assert compute_mean_interval(numpy.array([0.25]), EVALUATE, 1) == (0.25, 0.25)


def test_the_mean_map_of_a_class_weighs_its_images_equally():
    maps = numpy.zeros((3, 2, 2), numpy.float32)
    maps[0, 0, 0], maps[1, 1, 1], maps[2, 0, 1] = 100, -1, 5
    labels, counts, means = methods.compute_regions(maps, numpy.array([4, 4, 1]))
    assert (labels, counts) == ([4, 1], [2, 1])
    numpy.testing.assert_array_equal(means[0], [[0.5, 0], [0, 0.5]])
    numpy.testing.assert_array_equal(means[1], [[0, 1], [0, 0]])


def make_reader(weights):
    """Return a network of two classes that adds up weighted pixels, and tells those above the mean
    of random images from those below.
    """
    images = keras.Input(weights.shape, dtype="uint8")
    dense = keras.layers.Dense(2)
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0, -127.5)(images))
    network = networks.make_network(dense(flat), images)
    kernel = numpy.stack([numpy.zeros(weights.size), weights.ravel()], axis=1)
    dense.set_weights([kernel.astype(numpy.float32), numpy.zeros(2, numpy.float32)])
    return network


def measure_drops(weights):
    """Return the mean fall of the accuracy without each feature, for labels that are right."""
    network = make_reader(weights)
    random = numpy.random.default_rng(0)
    pixels = random.integers(0, 256, (60, *weights.shape), numpy.uint8)
    labels = network.compute_logits(pixels.astype(numpy.float32)).argmax(axis=1)
    right = permutations.predict_right(network, pixels, labels)
    assert right.all()
    found = permutations.measure(network, pixels, labels, right, count=4, seed=0)
    return {feature.name: drops.mean() for feature, drops in found}


def test_only_the_channel_that_a_network_reads_carries_its_accuracy():
    weights = numpy.zeros((8, 8, 3))
    weights[..., 1] = numpy.random.default_rng(1).normal(size=(8, 8))
    drops = measure_drops(weights)
    assert drops["channel red"] == drops["channel blue"] == 0
    assert drops["channel green"] == pytest.approx(0.5, abs=0.1)


def test_only_the_region_that_a_network_reads_carries_its_accuracy():
    weights = numpy.zeros((8, 12, 1))
    weights[2:4, 9:12] = 1
    drops = measure_drops(weights)
    regions = {name: drop for name, drop in drops.items() if name.startswith("region")}
    assert len(regions) == 16
    assert {name for name, drop in regions.items() if drop} == {"region 2, 4"}
    assert not any(name.startswith(("channel", "color")) for name in drops)


def test_a_network_that_reads_the_brightness_needs_neither_color_nor_patterns():
    weights = numpy.broadcast_to(numpy.array([0.299, 0.587, 0.114]), (8, 8, 3))
    network = make_reader(weights)
    pixels = numpy.random.default_rng(0).integers(90, 160, (40, 8, 8, 3)).astype(numpy.float32)
    others = pixels[::-1]
    expected = network.compute_logits(pixels)[:, 1]
    for feature in permutations.list_features((8, 8, 3)):
        if feature.kind == "region" or feature.name.startswith("channel"):
            continue
        changed = network.compute_logits(feature.replace(pixels, others))[:, 1]
        is_same = numpy.allclose(changed, expected, atol=0.05)
        assert is_same == (feature.name != "mean brightness"), feature.name


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 9, 3), (33, 20, 4)])
def test_all_frequencies_or_all_regions_together_are_the_other_image(shape):
    random = numpy.random.default_rng(0)
    images, others = (random.integers(0, 256, (2, *shape)).astype(numpy.float32) for _ in range(2))
    for kind in ("frequencies", "region"):
        changed = images
        features = [each for each in permutations.list_features(shape) if each.kind == kind]
        assert len(features) > 3
        for feature in features:
            changed = feature.replace(changed, others)
        numpy.testing.assert_allclose(changed, others, atol=1e-2)


def test_no_image_is_its_own_other():
    generator = numpy.random.Generator(numpy.random.Philox(0))
    for count in (2, 3, 50):
        order = permutations.derange(count, generator)
        assert sorted(order.tolist()) == list(range(count))
        assert (order != numpy.arange(count)).all()


def test_the_first_images_are_taken_with_their_labels():
    images = Images(numpy.zeros((3, 2, 2, 1), numpy.uint8), ["a", "b", "c"], numpy.arange(3), [])
    assert images.take(2).ids == ["a", "b"]
    assert images.take(2).labels.tolist() == [0, 1]
    assert dataclasses.replace(images, labels=None).take(1).labels is None
