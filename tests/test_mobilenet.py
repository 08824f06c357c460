"""MobileNetV2: parameters of Keras's own, strides for small images, width."""

import pytest
import small_models

from imgcls import parts
from imgcls.errors import UserError

MOBILENET = parts.load("models", "mobilenet")


def build(shape=(32, 32, 3), classes=10, **settings):
    return small_models.build(MOBILENET.Settings(name="mobilenet", **settings), shape, classes)


def list_weights(model):
    """Return the shapes of the weights of all layers."""
    return sorted(tuple(variable.shape) for variable in model.variables)


@pytest.mark.parametrize("width_multiplier", [1.0, pytest.param(0.35, marks=pytest.mark.full)])
def test_weights_are_those_of_keras(width_multiplier):
    from imgcls.backend import keras

    oracle = keras.applications.MobileNetV2(weights=None, alpha=width_multiplier)
    model = build((224, 224, 3), 1000, width_multiplier=width_multiplier)
    assert small_models.count_parameters(model) == small_models.count_parameters(oracle)
    standardization = model.get_layer("standardize").variables
    assert list_weights(model) == sorted(
        [*list_weights(oracle), *[tuple(each.shape) for each in standardization]]
    )
    assert model.get_layer("pooling").input.shape == oracle.layers[-3].output.shape


@pytest.mark.parametrize(
    ("size", "total_stride", "pixels"), [(64, None, 8), (65, None, 3), (32, 4, 8), (32, 32, 1)]
)
def test_the_total_stride_follows_the_size_unless_it_is_set(size, total_stride, pixels, capsys):
    model = build((size, size, 3), width_multiplier=0.1, total_stride=total_stride)
    assert model.get_layer("pooling").input.shape[1:3] == (pixels, pixels)
    said = capsys.readouterr().err
    assert (said == "") == (total_stride is not None)
    assert said == "" or "total stride is" in said


def test_filters_are_multiples_of_8_and_at_most_10_percent_less_than_wanted():
    model = build(width_multiplier=0.35)
    filters = [model.get_layer(f"stage_{n}_block_1_project_convolution") for n in range(1, 8)]
    assert [layer.filters for layer in filters] == [8, 8, 16, 24, 32, 56, 112]  # as in Keras
    assert model.get_layer("head_convolution").filters == 1280


def test_images_smaller_than_the_total_stride_are_refused():
    with pytest.raises(UserError, match=r"total stride of 32, .* set a smaller model.total_stride"):
        build((16, 40, 3), total_stride=32)
