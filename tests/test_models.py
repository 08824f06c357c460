"""The CNN: its layers, checks and preprocessing."""

import numpy
import pytest

from imgcls import parts
from imgcls.backend import keras
from imgcls.errors import UserError
from imgcls.models import Problem
from imgcls.training.model_file import make_plain_model, make_serving_model

PROBLEM = Problem(classes=10, mean=[70.0], std=[90.0], dropout_seed=1)
CNN = parts.load("models", "cnn")


def build(shape=(28, 28, 1), problem=PROBLEM, **settings):
    images = keras.Input(shape, dtype="uint8")
    return keras.Model(images, CNN.build(CNN.Settings(name="cnn", **settings), images, problem))


def make_serving(model, temperature=1.0):
    return make_serving_model(make_plain_model(model), temperature)


def list_layer_types(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_default_has_two_blocks_and_two_dense_layers():
    assert list_layer_types(make_serving(build())) == [
        *("InputLayer", "Normalization"),
        *("Conv2D", "MaxPooling2D", "Activation", "Conv2D", "MaxPooling2D", "Activation"),
        *("Flatten", "Dense", "Dense", "Dropout", "Dense", "Rescaling", "Softmax"),
    ]


def test_the_number_of_parameters_follows_from_the_settings():
    model = build(filters=[6, 16], kernel_sizes=[5, 3], dense=[120, 84])
    convolutions = 6 * (25 * 1 + 1) + 16 * (9 * 6 + 1)
    dense = 120 * (7 * 7 * 16 + 1) + 84 * (120 + 1) + 10 * (84 + 1)
    assert (
        sum(numpy.prod(variable.shape) for variable in model.trainable_variables)
        == convolutions + dense
    )


def test_shared_dense_layers_have_the_weights_of_the_first():
    model = build(filters=[4, 4], dense=[196, 196], share_dense=True, dropout=0.0)
    assert sum(isinstance(layer, keras.layers.Dense) for layer in model.layers) == 2
    images = numpy.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), numpy.uint8)
    flat = keras.Model(model.input, model.get_layer("flatten").output)(images).numpy()
    kernel, bias = (weight.numpy() for weight in model.get_layer("dense_1").weights)
    once = numpy.maximum(flat @ kernel + bias, 0)
    twice = numpy.maximum(once @ kernel + bias, 0)
    kernel, bias = (weight.numpy() for weight in model.get_layer("logits").weights)
    numpy.testing.assert_allclose(
        model(images).numpy(), twice @ kernel + bias, rtol=1e-4, atol=1e-5
    )


def test_sharing_needs_as_many_units_as_flattened_features():
    with pytest.raises(UserError, match=r"flattened features, 196; got dense: \[128, 128\]"):
        build(filters=[4, 4], dense=[128, 128], share_dense=True)


@pytest.mark.parametrize("dense", [[64], [64, 32], []])
def test_sharing_needs_two_layers_with_equal_units(dense):
    with pytest.raises(ValueError, match="layers with the same number of units; got dense: "):
        CNN.Settings(name="cnn", dense=dense, share_dense=True)


def test_kernel_sizes_are_one_for_all_blocks_or_one_per_block():
    with pytest.raises(ValueError, match="kernel_sizes has 2 entries for 3 blocks"):
        CNN.Settings(name="cnn", filters=[8, 8, 8], kernel_sizes=[3, 5])


def test_images_too_small_for_the_pooling_are_rejected():
    with pytest.raises(
        UserError,
        match=(
            r"model cnn: images of 8x8 pixels are too small for a total stride of 16, which needs"
            r" at least 16x16; set fewer model\.filters, or model\.pooling: 1"
        ),
    ):
        build((8, 8, 1), filters=[4, 4, 4, 4])


def test_a_dense_layer_with_nearly_all_parameters_gets_a_note(capsys):
    build((64, 64, 1), filters=[4], dense=[256])
    assert "since 4096 features are flattened" in capsys.readouterr().err


def test_a_balanced_model_gets_no_note(capsys):
    build(filters=[8, 16, 32], dense=[32])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("stem", [{"kernel_sizes": [7]}, {"pooling": 4}])
def test_an_imagenet_stem_gets_a_note_on_small_images_only(capsys, stem):
    build((32, 32, 3), filters=[4], dense=[8], **stem)
    assert "images of 32x32 lose detail in it" in capsys.readouterr().err
    build((72, 72, 3), filters=[4], dense=[8], **stem)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
)
def test_the_activation_follows_convolutions_and_dense_layers(activation):
    model = build(filters=[4], dense=[8], activation=activation)
    assert model.get_layer("activation_1").activation is keras.activations.get(activation)
    assert model.get_layer("dense_1").activation is keras.activations.get(activation)


@pytest.mark.parametrize("activation", CNN.MONOTONIC)
def test_monotonic_activations_commute_with_max_pooling(activation):
    features = numpy.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(numpy.float32)
    function, pooling = keras.layers.Activation(activation), keras.layers.MaxPooling2D(2)
    numpy.testing.assert_array_equal(
        function(pooling(features)).numpy(), pooling(function(features)).numpy()
    )


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_other_activations_stay_before_the_pooling(activation):
    assert list_layer_types(build(filters=[4], activation=activation))[2:5] == [
        "Conv2D",
        "Activation",
        "MaxPooling2D",
    ]


def test_batch_norm_comes_before_the_activation_and_replaces_the_bias():
    model = build(filters=[4], batch_norm=True)
    assert list_layer_types(model)[2:6] == [*("Conv2D", "BatchNorm", "MaxPooling2D", "Activation")]
    assert not model.get_layer("convolution_1").use_bias


def test_l2_adds_the_squared_kernels_to_the_loss():
    model = build(filters=[4], dense=[8], l2=0.1)
    model(numpy.zeros((1, 28, 28, 1), numpy.uint8))
    kernels = [model.get_layer(name).kernel.numpy() for name in ("convolution_1", "dense_1")]
    assert float(sum(model.losses)) == pytest.approx(
        0.1 * sum((kernel**2).sum() for kernel in kernels), rel=1e-5
    )


def test_the_model_itself_standardizes_pixels():
    images = numpy.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), numpy.uint8)
    mean, std = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2))
    model = build((8, 8, 3), Problem(4, mean.tolist(), std.tolist(), 0), filters=[4])
    result = keras.Model(model.input, model.get_layer("standardize").output)(images).numpy()
    numpy.testing.assert_allclose(result, (images - mean) / std, rtol=1e-5, atol=1e-5)


def test_a_constant_channel_is_only_centered():
    model = build((4, 4, 1), Problem(2, [10.0], [0.0], 0), filters=[2])
    result = keras.Model(model.input, model.get_layer("standardize").output)(
        numpy.full((1, 4, 4, 1), 12, numpy.uint8)
    ).numpy()
    numpy.testing.assert_allclose(result, 2.0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kernel_sizes": [5, 3], "pooling": 3},
        {"batch_norm": True},
        {"activation": "silu"},
        {"pooling": 1},
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_the_serving_model_has_only_keras_layers_and_computes_the_same_bits(settings, temperature):
    trained = build(filters=[4, 6], dense=[8], **settings)
    for variable in trained.trainable_variables:
        variable.assign(numpy.random.default_rng(1).normal(size=variable.shape).astype("float32"))
    served = make_serving(trained, temperature)
    assert all(type(layer).__module__.startswith("keras.") for layer in served.layers)
    images = numpy.random.default_rng(0).integers(0, 256, (7, 28, 28, 1), numpy.uint8)
    logits = trained(images, training=False) * numpy.float32(1 / temperature)
    expected = keras.ops.softmax(logits)
    numpy.testing.assert_array_equal(served(images, training=False), expected)


def test_a_bias_added_after_pooling_has_the_same_gradient_as_before():
    from imgcls.backend import tf

    keras.config.set_dtype_policy("float64")
    try:
        deferred = build(filters=[4, 6], dense=[8], dropout=0.0)
        plain = keras.models.clone_model(
            deferred,
            clone_function=lambda layer: layer.to_plain() if hasattr(layer, "to_plain") else layer,
        )
        plain.set_weights(deferred.get_weights())
    finally:
        keras.config.set_dtype_policy("float32")
    images = numpy.random.default_rng(0).integers(0, 256, (7, 28, 28, 1), numpy.uint8)
    gradients = []
    for model in (deferred, plain):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(model(images, training=True), tf.float64) ** 2)
        gradients.append(tape.gradient(loss, model.trainable_variables))
    assert [variable.path for variable in deferred.trainable_variables] == [
        variable.path for variable in plain.trainable_variables
    ]
    for actual, expected in zip(*gradients, strict=True):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-10)
