"""Explainers against closed forms, brute force, and a picture in which the answer is planted."""

import itertools

import explained_networks as networks
import numpy
import pytest
from explained_networks import explain, make_target, random_pixels

from imgcls import parts
from imgcls.backend import keras
from imgcls.errors import UserError

EACH = pytest.mark.parametrize("method", parts.list_names("explainers"))


def test_integrated_gradients_of_a_linear_network_are_weights_times_differences():
    network, weights = networks.make_linear()
    target = make_target(random_pixels(network), label=2, baseline=40)
    expected = (weights[..., 2] * (target.pixels - 40)).sum(axis=-1)
    found = explain(network, target, "integrated_gradients", steps=3)
    numpy.testing.assert_allclose(found, expected, atol=1e-4)


def test_integrated_gradients_sum_to_the_difference_of_the_logits():
    network = networks.make_smooth()
    for label in range(4):
        target = make_target(random_pixels(network), label, baseline=100)
        pair = numpy.stack([target.pixels, target.baseline])
        image, baseline = network.compute_logits(pair, label)
        total = explain(network, target, "integrated_gradients", steps=200).sum()
        assert abs(image - baseline) > 0.05
        assert total == pytest.approx(image - baseline, rel=0.01)


def test_smooth_gradients_of_a_linear_network_are_absolute_weights():
    network, weights = networks.make_linear()
    found = explain(network, make_target(random_pixels(network), 0), "smooth_gradients", samples=3)
    numpy.testing.assert_allclose(found, numpy.abs(weights[..., 0]).sum(axis=-1), rtol=1e-4)


def test_smooth_gradients_without_noise_are_the_gradient():
    network = networks.make_smooth()
    target = make_target(random_pixels(network), 3)
    step = 0.5 * numpy.eye(network.shape[2])
    found = explain(network, target, "smooth_gradients", samples=2, noise=0.0)
    for row, column in ((0, 0), (4, 3), (8, 7)):
        slopes = []
        for change in step:
            pair = numpy.stack([target.pixels, target.pixels])
            pair[0, row, column] += change
            pair[1, row, column] -= change
            above, below = network.compute_logits(pair.astype(numpy.float32), 3)
            slopes.append(abs(above - below))
        assert found[row, column] == pytest.approx(sum(slopes), rel=0.05, abs=1e-5)


def test_occlusion_is_the_mean_fall_over_the_patches_that_cover_a_pixel():
    network = networks.make_smooth((9, 8, 3))
    target = make_target(random_pixels(network), 2, baseline=90)
    falls = [[[] for _ in range(8)] for _ in range(9)]
    (whole,) = network.compute_logits(target.pixels[None], 2)
    for top, left in itertools.product((0, 2, 4, 5), (0, 2, 4, 5)):  # of 4x3, by 2
        covered = target.pixels.copy()
        covered[top : top + 4, left : left + 3] = 90
        (rest,) = network.compute_logits(covered[None], 2)
        for row, column in itertools.product(range(top, top + 4), range(left, left + 3)):
            falls[row][column].append(whole - rest)
    expected = [[numpy.mean(each) for each in row] for row in falls]
    found = explain(network, target, "occlusion", patch=0.4, stride=0.5)
    numpy.testing.assert_allclose(found, expected, atol=1e-5)


def test_grad_cam_before_an_average_is_the_class_activation_map():
    """Selvaraju et al., 2017, section 3.1: it is then that of Zhou et al., 2016."""
    network = networks.make_smooth()
    target = make_target(random_pixels(network), 1)
    layers = {layer.name: layer for layer in network.model.layers}
    features = keras.Model(network.model.input, layers["second"].output)(target.pixels[None])
    kernel = network.model.layers[-1].kernel.numpy()[:, 1]
    activation = numpy.maximum(features.numpy()[0] @ kernel, 0) / (5 * 4)
    found = explain(network, target, "grad_cam")
    assert found.shape == (9, 8)
    centers = [found[2 * row, 2 * column] for row, column in ((0, 0), (4, 3))]
    numpy.testing.assert_allclose(centers, [activation[0, 0], activation[4, 3]], atol=1e-6)
    assert found.max() <= activation.max() + 1e-6


@EACH
def test_the_mass_lies_on_what_the_network_looks_for(method):
    network = networks.make_detector()
    pixels, mask = networks.plant_square()
    found = numpy.abs(explain(network, make_target(pixels, baseline=30), method))
    assert mask.mean() < 0.08
    near = numpy.zeros_like(mask)
    near[8:20, :11] = True  # as far as patches and enlarged features reach
    assert found[near].sum() > 0.95 * found.sum()
    assert mask.ravel()[found.argmax()]


@EACH
def test_maps_are_the_same_whatever_the_batch_size(method):
    small, large = networks.make_smooth(), networks.make_smooth()
    large.batch_size = 64
    target = make_target(random_pixels(small), 0, seed=7)
    one, other = (explain(network, target, method) for network in (small, large))
    numpy.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


@EACH
def test_maps_depend_on_the_seed_alone(method):
    network = networks.make_smooth()
    pixels = random_pixels(network)
    one, same = (explain(network, make_target(pixels, seed=7), method) for _ in range(2))
    numpy.testing.assert_array_equal(one, same)
    other = explain(network, make_target(pixels, seed=8), method)
    assert (method == "smooth_gradients") == (not numpy.array_equal(one, other))


@EACH
def test_a_map_is_negative_only_if_the_method_says_so(method):
    network = networks.make_smooth()
    found = [explain(network, make_target(random_pixels(network), i), method) for i in range(4)]
    is_signed = parts.load("explainers", method).Settings.is_signed
    assert (numpy.min(found) < 0) == is_signed


def test_grad_cam_without_a_convolution_is_refused_with_advice():
    network, _ = networks.make_linear()
    with pytest.raises(UserError, match=r"has no convolution; take --method integrated_gradients"):
        explain(network, make_target(random_pixels(network)), "grad_cam")


def test_grad_cam_takes_the_layer_that_it_is_given():
    network = networks.make_smooth()
    target = make_target(random_pixels(network), 1)
    first = explain(network, target, "grad_cam", layer="first")
    assert not numpy.array_equal(first, explain(network, target, "grad_cam"))
    numpy.testing.assert_array_equal(
        explain(network, target, "grad_cam", layer="second"), explain(network, target, "grad_cam")
    )
    with pytest.raises(UserError, match=r"'third', which is not there; allowed: .*first, second"):
        explain(network, target, "grad_cam", layer="third")
    pooling = network.model.layers[-2].name
    with pytest.raises(UserError, match=f"'{pooling}', whose outputs are not features"):
        explain(network, target, "grad_cam", layer=pooling)


@pytest.mark.parametrize("method", ["integrated_gradients", "smooth_gradients", "grad_cam"])
def test_the_layer_that_stops_the_gradient_is_named(method):
    images = keras.Input((8, 8, 1), dtype="uint8")
    features = keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(images))
    steps = keras.layers.Activation(keras.ops.round, name="steps")(features)
    logits = keras.layers.Dense(2)(keras.layers.Flatten()(steps))
    network = networks.make_network(logits, images)
    target = make_target(random_pixels(network))
    if method == "grad_cam":
        settings = {"layer": next(c.name for c in network.calls if "conv" in c.name)}
        with pytest.raises(UserError, match=r"no gradient reaches layer 'conv.*: layer 'steps'"):
            explain(network, target, method, **settings)
    else:
        with pytest.raises(UserError, match="no gradient reaches the pixels: layer 'steps' stops"):
            explain(network, target, method)
    assert numpy.isfinite(explain(network, target, "occlusion")).all()
