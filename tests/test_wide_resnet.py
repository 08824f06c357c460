"""Wide ResNets: parameters of the paper's networks, order of layers, dropout."""

import numpy
import pytest
import small_models

from imgcls import parts
from imgcls.errors import UserError

WIDE = parts.load("models", "wide_resnet")


def build(shape=(32, 32, 3), classes=10, **settings):
    return small_models.build(WIDE.Settings(name="wide_resnet", **settings), shape, classes)


@pytest.mark.parametrize(
    ("depth", "widen_factor", "millions"),
    [
        (16, 4, 2.7),
        pytest.param(40, 4, 8.9, marks=pytest.mark.full),
        pytest.param(28, 10, 36.5, marks=pytest.mark.full),
    ],
)
def test_parameters_are_those_of_the_paper(depth, widen_factor, millions):
    """Zagoruyko and Komodakis, 2016, tables 4 and 5."""
    parameters = small_models.count_parameters(build(depth=depth, widen_factor=widen_factor))
    assert round(parameters / 1e6, 1) == millions


@pytest.mark.parametrize("depth", [4, 9, 15, 20, 100_000_001])
def test_another_depth_is_an_error_that_names_those_allowed(depth):
    with pytest.raises(ValueError, match=rf"is {depth}, but must be 6n \+ 4, such as 10, 16, 22"):
        WIDE.Settings(name="wide_resnet", depth=depth)


def test_batch_norm_and_activation_come_before_each_convolution():
    model = build(depth=10, widen_factor=2)
    names = [layer.name.removeprefix("stage_2_block_1_") for layer in model.layers]
    order = ["batch_norm_1", "activation_1", "convolution_1", "batch_norm_2", "activation_2"]
    order += ["dropout", "convolution_2", "add"]
    assert [names.index(name) for name in order] == sorted(map(names.index, order))
    shortcut = model.get_layer("stage_2_block_1_shortcut_convolution")
    assert shortcut.input is model.get_layer("stage_2_block_1_activation_1").output
    assert names[-4:] == ["batch_norm", "activation", "pooling", "logits"]


def test_each_block_drops_other_units():
    from imgcls.backend import tf

    model = build(depth=10, widen_factor=1, dropout=0.5)
    blocks = [f"stage_{stage}_block_1_dropout" for stage in (1, 2, 3)]
    ones = tf.ones((1, 4, 4, 16))
    masks = [
        model.get_layer(name)(ones, training=True, step=tf.constant(0), first_row=tf.constant(0))
        for name in blocks
    ]
    assert len({numpy.asarray(mask).tobytes() for mask in masks}) == 3


@pytest.mark.parametrize(("size", "kernel_size"), [(64, 3), (65, 7)])
def test_the_stem_follows_the_size(size, kernel_size):
    stem = build((size, size, 3), depth=10).get_layer("stem_convolution")
    assert stem.kernel_size == (kernel_size, kernel_size)


def test_images_smaller_than_the_total_stride_are_refused():
    with pytest.raises(UserError, match="3x9 pixels are too small for a total stride of 4"):
        build((3, 9, 3))
