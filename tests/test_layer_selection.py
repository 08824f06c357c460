"""Layers of a model are selected by name or by depth."""

import pytest
from pydantic import TypeAdapter, ValidationError

from imgcls.errors import UserError
from imgcls.layer_settings import LayerPattern


@pytest.fixture(scope="module")
def model():
    """A residual block with a shortcut, a nested model, and a head."""
    from imgcls.backend import keras

    layers = keras.layers
    images = keras.Input((8, 8, 3))
    features = layers.Conv2D(4, 3, padding="same", name="stem")(images)
    features = layers.BatchNormalization(name="stem_norm")(features)
    inner = layers.Activation("relu")(features)
    for number in (1, 2):
        inner = layers.Conv2D(4, 3, padding="same", name=f"block_convolution_{number}")(inner)
        inner = layers.BatchNormalization(name=f"block_norm_{number}")(inner)
    shortcut = layers.Conv2D(4, 1, name="shortcut")(features)
    shortcut = layers.BatchNormalization(name="shortcut_norm")(shortcut)
    features = layers.Add()([inner, shortcut])
    nested_input = keras.Input((8, 8, 4))
    nested = layers.Conv2D(2, 3, name="inner_convolution")(nested_input)
    nested = layers.Activation("relu")(nested)
    features = keras.Model(nested_input, nested, name="backbone")(features)
    features = layers.BatchNormalization(name="last_norm")(layers.Dropout(0.5)(features))
    return keras.Model(images, layers.Dense(2, name="logits")(layers.Flatten()(features)))


def names_of(layers):
    return [layer.name for layer in layers]


def test_a_norm_belongs_to_the_layer_before_it_in_the_graph(model):
    from imgcls.training import layer_selection

    assert [names_of(group) for group in layer_selection.group_by_depth(model)] == [
        ["stem", "stem_norm"],
        ["block_convolution_1", "block_norm_1"],
        ["block_convolution_2", "block_norm_2"],
        ["shortcut", "shortcut_norm"],
        ["inner_convolution", "last_norm"],
    ]


@pytest.mark.parametrize(
    ("depth", "count"), [(1, 1), (2, 2), (5, 5), (0.01, 1), (0.4, 2), (0.5, 2), (0.7, 4), (1.0, 5)]
)
def test_depth_counts_layers_from_the_input_on_without_the_head(model, depth, count):
    from imgcls.training import layer_selection

    groups = layer_selection.group_by_depth(model)
    selected = layer_selection.select_by_depth(model, depth, "depth")
    assert selected == [layer for group in groups[:count] for layer in group]


def test_a_depth_beyond_the_model_is_refused(model):
    from imgcls.training import layer_selection

    with pytest.raises(UserError, match=r"train\.x is 6, but the model has 5 layers .*stem, block"):
        layer_selection.select_by_depth(model, 6, "train.x")


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("^stem", ["stem", "stem_norm"]),
        ("convolution_[12]$", ["block_convolution_1", "block_convolution_2"]),
        ("^backbone$", ["inner_convolution"]),
        ("^inner", ["inner_convolution"]),
        ("logits|shortcut$", ["shortcut", "logits"]),
    ],
)
def test_a_pattern_selects_the_layers_in_whose_name_it_is_found(model, pattern, selected):
    from imgcls.training import layer_selection

    assert names_of(layer_selection.select_by_name(model, pattern, "layers")) == selected


@pytest.mark.parametrize("pattern", ["stage_9", "flatten", "^convolution"])
def test_a_pattern_that_selects_no_layer_with_weights_is_refused_with_their_names(model, pattern):
    from imgcls.training import layer_selection

    with pytest.raises(UserError) as caught:
        layer_selection.select_by_name(model, pattern, "train.freeze.0.layers")
    message = str(caught.value)
    assert message.startswith(f"train.freeze.0.layers is '{pattern}', which is found in the name")
    assert "stem, stem_norm, block_convolution_1" in message


def test_of_many_layers_some_from_input_to_output_are_listed():
    from imgcls.backend import keras
    from imgcls.training import layer_selection

    layers = [keras.layers.Dense(1, name=f"dense_{i}") for i in range(100)]
    with pytest.raises(UserError) as caught:
        layer_selection.select_by_name(keras.Sequential([keras.Input((1,)), *layers]), "x", "k")
    assert "100 of them, such as dense_0, dense_9, dense_18" in str(caught.value)
    assert "dense_99" in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_layers_of_a_built_model_are_found(digits, prepared):
    from imgcls.store.lookup import find_store
    from imgcls.training import build, layer_selection

    settings = digits("model.batch_norm=true", "model.filters=[4, 4]")
    store, split = find_store(settings)
    built = build.build_model(settings, store.describe(split))
    groups = layer_selection.group_by_depth(built)
    assert [names_of(group) for group in groups] == [
        ["convolution_1", "batch_norm_1"],
        ["convolution_2", "batch_norm_2"],
        ["dense_1"],
    ]


def test_an_invalid_pattern_is_refused():
    with pytest.raises(ValidationError, match=r"is 'stage_\(', which is not a regular expression"):
        TypeAdapter(LayerPattern).validate_python("stage_(")
