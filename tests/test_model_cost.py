"""What models cost: counted as papers and Keras's own networks say, or by hand."""

import math

import numpy
import pytest
import small_models

from imgcls import parts
from imgcls.backend import keras
from imgcls.models import _cost


def measure(name, shape, classes=10, **settings):
    return _cost.measure(
        small_models.build(
            parts.load("models", name).Settings(name=name, **settings), shape, classes
        )
    )


def wrap(*layers, shape):
    """Return the cost of a model of some layers on float images of a shape."""
    images = keras.Input(shape, dtype="uint8")
    features = keras.layers.Rescaling(1 / 255)(images)
    for layer in layers:
        features = layer(features)
    return _cost.measure(keras.Model(images, features))


def test_a_model_is_measured_again_and_called_afterwards():
    model = small_models.build(small_models.make_settings("cnn"), (16, 16, 3))
    first = _cost.measure(model)
    assert model(numpy.zeros((1, 16, 16, 3), numpy.uint8)).shape == (1, 10)
    assert _cost.measure(model) == first


@pytest.mark.parametrize(
    ("depth", "billions"),
    [
        (18, 1.81),
        pytest.param(34, 3.66, marks=pytest.mark.full),
        pytest.param(50, 4.09, marks=pytest.mark.full),
        pytest.param(101, 7.80, marks=pytest.mark.full),
        pytest.param(152, 11.51, marks=pytest.mark.full),
    ],
)
def test_resnets_have_the_multiply_adds_of_torchvision(depth, billions):
    """Whose bottlenecks have the same strides, https://docs.pytorch.org/vision/stable/models.html.
    The paper has 1.8, 3.6, 3.8, 7.6 and 11.3, with the stride in the 1x1 convolution.
    """
    cost = measure("resnet", (224, 224, 3), 1000, depth=depth)
    assert round(cost.multiply_adds / 1e9, 2) == billions


@pytest.mark.full
def test_a_convnext_has_the_multiply_adds_of_the_paper():
    tiny = {"depths": [3, 3, 9, 3], "widths": [96, 192, 384, 768]}
    cost = measure("convnext", (224, 224, 3), 1000, **tiny)
    assert round(cost.multiply_adds / 1e9, 1) == 4.5


@pytest.mark.full
def test_a_nested_network_of_keras_is_counted_and_mobilenet_equals_it():
    oracle = wrap(keras.applications.MobileNetV2(weights=None), shape=(224, 224, 3))
    assert round(oracle.multiply_adds / 1e6) == 301  # the paper has 300
    cost = measure("mobilenet", (224, 224, 3), 1000)
    assert (cost.parameters, cost.multiply_adds) == (oracle.parameters, oracle.multiply_adds)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([keras.layers.Conv2D(6, 3, padding="same")], 5 * 8 * 6 * 9 * 4),
        ([keras.layers.Conv2D(6, 3, strides=2)], 2 * 3 * 6 * 9 * 4),
        ([keras.layers.Conv2D(6, 3, groups=2, padding="same")], 5 * 8 * 6 * 9 * 2),
        ([keras.layers.DepthwiseConv2D(3, padding="same")], 5 * 8 * 4 * 9),
        ([keras.layers.SeparableConv2D(6, 3, padding="same")], 5 * 8 * 4 * 9 + 5 * 8 * 4 * 6),
        ([keras.layers.Flatten(), keras.layers.Dense(7)], 160 * 7),
        ([keras.Sequential([keras.layers.Dense(6), keras.layers.Dense(7)])], 40 * (4 * 6 + 6 * 7)),
        ([keras.layers.Dense(7)], 5 * 8 * 4 * 7),
        ([keras.layers.EinsumDense("abcd,de->abce", (5, 8, 7))], 5 * 8 * 4 * 7),
        ([*[keras.layers.Dense(4)] * 3], 3 * 5 * 8 * 4 * 4),
    ],
    ids=[
        "full",
        "strided",
        "grouped",
        "depthwise",
        "separable",
        "flat",
        "nested",
        "dense",
        "einsum",
        "shared",
    ],
)
def test_multiply_adds_of_layers_are_those_counted_by_hand(layers, expected):
    assert wrap(*layers, shape=(5, 8, 4)).multiply_adds == expected


def test_memory_is_what_is_counted_by_hand():
    """Kept are the inputs of convolution and dense layers, the inputs and outputs of max pooling,
    and the outputs of ReLU; not the flattened features, which are the same memory.
    """
    cost = measure("cnn", (8, 8, 3), filters=[4], dense=[16], dropout=0.0)
    standardized, convolved, pooled, active, dense = 8 * 8 * 3, 8 * 8 * 4, 64, 64, 16
    kept = standardized + convolved + pooled + active + dense
    assert cost.image_mib * 2**20 == 4 * kept
    parameters = 4 * (27 + 1) + 16 * (64 + 1) + 10 * (16 + 1)
    assert cost.parameters == parameters
    assert cost.model_mib * 2**20 == 4 * 4 * parameters


def test_moving_averages_have_neither_gradients_nor_moments():
    cost = measure("speed", (8, 8, 3), filters=[8])
    assert cost.model_mib * 2**20 == 4 * (4 * cost.parameters + 2 * 8)


def test_memory_grows_with_what_dropout_and_batch_norm_keep():
    plain, dropping, norming = (
        measure("cnn", (8, 8, 3), filters=[4], dense=[16], **settings).image_mib
        for settings in ({"dropout": 0.0}, {"dropout": 0.5}, {"dropout": 0.0, "batch_norm": True})
    )
    assert plain < dropping < norming
    assert math.isfinite(norming)
