"""Folding batch norm leaves every network's logits as they are."""

import numpy
import pytest
import small_models

from imgcls.backend import keras
from imgcls.compression.folding import fold_batch_norm
from imgcls.training import model_file

SHAPE = (32, 32, 3)


def randomize(model):
    """Give layers of batch norm statistics, scales and offsets as training does."""
    random = numpy.random.default_rng(0)
    for layer in model.layers:
        if hasattr(layer, "layers"):
            randomize(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, each.shape) for each in layer.weights])
    return model


def count_norms(model):
    """Return the number of layers of batch norm, in nested models too."""
    return sum(
        count_norms(layer)
        if hasattr(layer, "layers")
        else isinstance(layer, keras.layers.BatchNormalization)
        for layer in model.layers
    )


def make_images(shape=SHAPE, count=4):
    return numpy.random.default_rng(1).integers(0, 256, (count, *shape), numpy.uint8)


def assert_same_logits(model, folded, images):
    """Compare to the rounding of float32 in networks of up to a hundred layers."""
    before, after = (numpy.asarray(each(images)) for each in (model, folded))
    numpy.testing.assert_allclose(after, before, atol=1e-4 * numpy.abs(before).max())


@pytest.mark.parametrize("name", small_models.MARKED)
def test_a_folded_model_has_the_logits_of_the_original(name):
    settings = small_models.make_settings(name)
    if "batch_norm" in type(settings).model_fields:
        settings = settings.model_copy(update={"batch_norm": True})
    model = model_file.make_plain_model(randomize(small_models.build(settings, SHAPE)))
    folded, names, left = fold_batch_norm(model)
    assert len(names) + len(left) == count_norms(model)
    assert count_norms(folded) == len(left)
    assert_same_logits(model, folded, make_images())
    again, names, still_left = fold_batch_norm(folded)
    assert (names, still_left) == ([], left)
    for before, after in zip(folded.get_weights(), again.get_weights(), strict=True):
        numpy.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    "before",
    [
        keras.layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False),
        keras.layers.Conv2D(6, 3, groups=3),
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
        keras.layers.Dense(6),
    ],
    ids=["convolution", "grouped", "depthwise", "dense"],
)
@pytest.mark.parametrize("parameters", [True, False], ids=["scale and center", "neither"])
def test_batch_norm_is_folded_into_each_kind_of_layer(before, parameters):
    images = keras.Input((8, 8, 3))
    made = type(before).from_config(before.get_config())
    norm = keras.layers.BatchNormalization(center=parameters, scale=parameters)
    model = randomize(keras.Model(images, norm(made(images))))
    folded, names, left = fold_batch_norm(model)
    assert (names, left) == ([norm.name], {})
    inputs = numpy.random.default_rng(2).normal(size=(2, 8, 8, 3)).astype(numpy.float32)
    numpy.testing.assert_allclose(folded(inputs), model(inputs), atol=1e-5)


def build_two(join):
    """Return a model of a convolution and batch norm, joined as a function says."""
    images = keras.Input((8, 8, 3))
    convolution = keras.layers.Conv2D(3, 3, padding="same", name="convolution")
    return randomize(
        keras.Model(images, join(images, convolution, keras.layers.BatchNormalization(name="norm")))
    )


OBSTACLES = {
    "input": (lambda images, _, norm: norm(images), "follows 'input_layer"),
    "activation": (
        lambda images, layer, norm: norm(
            keras.layers.Conv2D(3, 1, activation="relu", name="active")(images)
        ),
        "'active' before it has an activation",
    ),
    "two users": (
        lambda images, layer, norm: keras.layers.add([(made := layer(images)), norm(made)]),
        "other layers also take what 'convolution' returns",
    ),
    "shared": (
        lambda images, layer, norm: norm(layer(norm(layer(images)))),
        "is called more than once",
    ),
    "other axis": (
        lambda images, layer, _: keras.layers.BatchNormalization(axis=1, name="norm")(
            layer(images)
        ),
        "does not normalize the last axis",
    ),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_batch_norm_that_cannot_be_folded_is_named_with_the_reason(case):
    join, reason = OBSTACLES[case]
    model = build_two(join)
    folded, names, left = fold_batch_norm(model)
    assert names == []
    assert list(left) == ["norm"]
    assert reason in left["norm"]
    inputs = numpy.random.default_rng(2).normal(size=(2, 8, 8, 3)).astype(numpy.float32)
    numpy.testing.assert_array_equal(folded(inputs), model(inputs))
