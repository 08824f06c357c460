"""The temperature minimizes the log loss on validation; it is 1 where nothing certain is gained."""

import warnings

import numpy
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from imgcls.errors import DivergenceError
from imgcls.training.temperature import fit_temperature


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def compute_log_loss(logits, labels, temperature=1.0):
    scaled = log_softmax(logits.astype(numpy.float64) / temperature, axis=1)
    return -scaled[numpy.arange(len(labels)), labels].mean()


def sample(images, classes, temperature, seed=0, spread=2.0):
    """Return logits, and labels sampled from their softmax at a temperature."""
    generator = numpy.random.default_rng(seed)
    logits = generator.normal(scale=spread, size=(images, classes)).astype(numpy.float32)
    noise = generator.gumbel(size=logits.shape)
    return logits, (logits / temperature + noise).argmax(axis=1).astype(numpy.int32)


@pytest.mark.parametrize("temperature", [0.5, 1.7, 3.0])
def test_a_known_temperature_is_recovered(temperature):
    found = fit_temperature(*sample(20_000, 10, temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.02)
    assert found.reason is None


@pytest.mark.parametrize("classes", [2, 3, 50])
@pytest.mark.parametrize("temperature", [0.3, 2.5, 6.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_temperature_is_the_minimum_of_the_log_loss(classes, temperature, dtype):
    logits, labels = sample(5000, classes, temperature, spread=3)
    logits = logits.astype(dtype)
    found = fit_temperature(logits, labels)
    expected = minimize_scalar(
        lambda inverse: compute_log_loss(logits, labels, 1 / inverse),
        bounds=(0.01, 10),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert found.temperature == pytest.approx(1 / expected.x, rel=1e-5)
    assert found.log_loss_after == pytest.approx(expected.fun, rel=1e-12)
    assert found.log_loss_before == pytest.approx(compute_log_loss(logits, labels), rel=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_the_log_loss_never_rises_and_changes_only_if_it_is_significant(seed):
    generator = numpy.random.default_rng(seed)
    images, classes = generator.integers(1, 200), generator.integers(1, 12)
    logits = generator.normal(size=(images, classes)) * 10.0 ** generator.integers(-3, 4)
    labels = generator.integers(classes, size=images)
    right = generator.random(images) < generator.random()
    labels[right] = logits.argmax(axis=1)[right]
    found = fit_temperature(logits, labels)
    assert found.log_loss_before == pytest.approx(compute_log_loss(logits, labels), abs=1e-12)
    assert found.log_loss_after == pytest.approx(
        compute_log_loss(logits, labels, found.temperature), rel=1e-9, abs=1e-12
    )
    gain = 2 * images * (found.log_loss_before - found.log_loss_after)
    assert gain > 3.8414 if found.reason is None else (gain, found.temperature) == (0, 1)


def test_a_small_validation_split_changes_the_temperature_as_rarely_as_the_test_allows():
    changed = sum(
        fit_temperature(*sample(10, 5, 1.0, seed=seed)).reason is None for seed in range(400)
    )
    assert 0 < changed / 400 < 0.1


RIGHT = numpy.array([[2.0, 1.0, 0.0], [0.0, 0.5, 0.1]])
CASES = {
    "all right": (RIGHT, [0, 1], "every validation image is classified correctly"),
    "all right with ties": ([[1.0, 1.0], [0.0, 3.0]], [0, 1], "every validation image is"),
    "worse than chance": (RIGHT, [2, 0], "equal probabilities would fit"),
    "equal logits": ([[3.0, 3.0], [-1.0, -1.0]], [0, 1], "every class has the same logit"),
    "one class": ([[3.0], [-1.0]], [0, 0], "every class has the same logit"),
    "one image": ([[1.0, 2.0, 3.0]], [1], "equal probabilities would fit"),
    "not significant": ([[3.0, 0.0]] * 10, [0] * 9 + [1], "is not significant"),
}


@pytest.mark.parametrize("case", CASES)
def test_without_a_certain_optimum_the_temperature_is_1_with_the_reason(case):
    logits, labels, reason = CASES[case]
    logits, labels = numpy.array(logits), numpy.array(labels)
    found = fit_temperature(logits, labels)
    assert found.temperature == 1
    assert reason in found.reason
    assert found.describe() == found.reason
    assert found.images == len(labels)
    assert found.log_loss_before == found.log_loss_after
    assert found.log_loss_after == pytest.approx(compute_log_loss(logits, labels))


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e37])
def test_huge_and_tiny_logits_give_the_temperature_of_ordinary_ones(scale):
    logits, labels = sample(1000, 4, 3.0)
    ordinary = fit_temperature(logits, labels)
    found = fit_temperature((logits * scale).astype(numpy.float32), labels)
    assert found.temperature == pytest.approx(ordinary.temperature * scale, rel=1e-5)
    assert numpy.isfinite(numpy.float32(1 / found.temperature))


def test_classes_without_a_validation_image_count_as_others_do():
    logits, labels = sample(2000, 6, 2.0)
    present = labels < 3
    found = fit_temperature(logits[present], labels[present])
    losses = [
        compute_log_loss(logits[present], labels[present], found.temperature * factor)
        for factor in (0.99, 1.0, 1.01)
    ]
    assert losses[1] == min(losses)


def test_a_shift_of_an_images_logits_changes_nothing():
    logits, labels = sample(2000, 6, 2.0)
    shifts = numpy.random.default_rng(1).normal(scale=100, size=(2000, 1))
    assert fit_temperature(logits + shifts, labels).temperature == pytest.approx(
        fit_temperature(logits, labels).temperature, rel=1e-6
    )


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf])
def test_logits_that_are_not_finite_are_an_error(value):
    with pytest.raises(DivergenceError, match="not finite"):
        fit_temperature(numpy.array([[0.0, value]]), numpy.array([0]))
