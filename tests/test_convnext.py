"""ConvNeXts: parameters of published ones, patches, layer scale, stochastic depth."""

import numpy
import pytest
import small_models

from imgcls import parts
from imgcls.errors import UserError

CONVNEXT = parts.load("models", "convnext")
TINY = {"depths": [3, 3, 9, 3], "widths": [96, 192, 384, 768]}


def build(shape=(32, 32, 3), classes=10, **settings):
    return small_models.build(CONVNEXT.Settings(name="convnext", **settings), shape, classes)


def test_the_default_has_the_parameters_of_timms_atto():
    """timm lists convnext_atto with 3.7 M parameters."""
    parameters = small_models.count_parameters(build((224, 224, 3), 1000))
    assert round(parameters / 1e6, 1) == 3.7


@pytest.mark.full
def test_parameters_are_those_of_keras():
    from imgcls.backend import keras

    oracle = keras.applications.ConvNeXtTiny(weights=None)
    model = build((224, 224, 3), 1000, **TINY)
    assert small_models.count_parameters(model) == small_models.count_parameters(oracle)


def test_depths_and_widths_have_the_same_length():
    with pytest.raises(ValueError, match="depths has 2 entries, but widths 1"):
        CONVNEXT.Settings(name="convnext", depths=[1, 1], widths=[8])


@pytest.mark.parametrize("kernel_size", [1, 4, 9])
def test_depthwise_kernels_have_sizes_of_cudnn(kernel_size):
    with pytest.raises(ValueError, match="should be 3, 5 or 7"):
        CONVNEXT.Settings(name="convnext", kernel_size=kernel_size)


@pytest.mark.parametrize(
    ("size", "patch_size", "pixels"),
    [(16, None, 16), (17, None, 9), (64, None, 32), (65, None, 17), (64, 4, 16)],
)
def test_the_patches_follow_the_size_unless_they_are_set(size, patch_size, pixels, capsys):
    model = build((size, size, 3), depths=[1], widths=[8], patch_size=patch_size)
    assert model.get_layer("stem_convolution").output.shape[1:3] == (pixels, pixels)
    assert ("patches of" in capsys.readouterr().err) == (patch_size is None)


def test_images_smaller_than_the_total_stride_are_refused():
    with pytest.raises(UserError, match="7x9 pixels are too small for a total stride of 8"):
        build((7, 9, 3))


def test_layer_scale_multiplies_each_channel_and_can_be_left_out():
    from imgcls.models._layer_scale import LayerScale

    layer = LayerScale(0.5)
    inputs = numpy.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(numpy.float32)
    numpy.testing.assert_array_equal(layer(inputs), inputs / 2)
    factors = numpy.arange(5, dtype=numpy.float32)
    layer.set_weights([factors.reshape(layer.gamma.shape)])
    numpy.testing.assert_array_equal(layer(inputs), inputs * factors)
    names = [layer.name for layer in build(depths=[1], widths=[8], layer_scale=None).layers]
    assert not any("layer_scale" in name for name in names)


def test_weight_decay_takes_layer_scale_for_the_vector_that_it_is():
    from imgcls.optimizers import adamw

    model = build(depths=[1], widths=[8], patch_size=1)
    optimizer = adamw.build(adamw.Settings(name="adamw"), 1e-3)
    block = "stage_1_block_1"
    decayed = {each.path for each in model.trainable_variables if optimizer.has_decay(each)}
    assert decayed == {
        "stem_convolution/kernel",
        f"{block}_depthwise_convolution/kernel",
        f"{block}_convolution_1/kernel",
        f"{block}_convolution_2/kernel",
        "logits/kernel",
    }


def test_blocks_are_dropped_at_rates_that_rise_from_0_and_for_whole_images():
    from imgcls.backend import keras, tf

    model = build(depths=[1, 2], widths=[8, 16], layer_scale=1.0, stochastic_depth=0.5)
    rates = [layer._rate for layer in model.layers if "stochastic_depth" in layer.name]
    assert rates == [0.25, 0.5]
    block = "stage_2_block_2"
    inputs = model.get_layer(f"{block}_depthwise_convolution").input
    between = keras.Model(model.input, [inputs, model.get_layer(f"{block}_add").output])
    images = numpy.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), numpy.uint8)
    before, after = small_models.register_rows(between)(
        images, training=True, step=tf.constant(0), first_row=tf.constant(0)
    )
    changed = numpy.asarray(before != after).reshape(40, -1)
    kept = changed.any(1)
    assert 8 < kept.sum() < 32
    assert changed[kept].mean() > 0.99
