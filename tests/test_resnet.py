"""ResNets: parameters of the papers' networks, blocks, shortcuts and stems."""

import numpy
import pytest
import small_models
from small_models import count_parameters

from imgcls import parts
from imgcls.errors import UserError

RESNET = parts.load("models", "resnet")
full = pytest.mark.full


def make_settings(**settings):
    return RESNET.Settings(name="resnet", **settings)


def build(shape=(32, 32, 3), classes=10, **settings):
    return small_models.build(make_settings(**settings), shape, classes)


def list_kernels(layers):
    return sorted(tuple(layer.kernel.shape) for layer in layers)


def list_convolutions(model):
    from imgcls.backend import keras

    return [each for each in model.layers if isinstance(each, keras.layers.Conv2D)]


def evaluate(model, output, images):
    """Return the value of a layer's output, or of a symbolic tensor."""
    from imgcls.backend import keras

    tensor = model.get_layer(output).output if isinstance(output, str) else output
    return keras.Model(model.input, tensor)(images, training=False).numpy()


@pytest.mark.parametrize(
    ("depth", "millions"),
    [
        (20, 0.27),
        (32, 0.46),
        (44, 0.66),
        pytest.param(56, 0.85, marks=full),
        pytest.param(110, 1.7, marks=full),
    ],
)
def test_parameters_for_cifar_are_those_of_the_paper(depth, millions):
    """He et al., 2016, table 6, with the shortcuts of option A."""
    parameters = count_parameters(build(depth=depth, shortcut="zero_padding"))
    assert round(parameters / 1e6, 1 if depth == 110 else 2) == millions


@pytest.mark.parametrize(
    ("depth", "parameters"),
    [
        (18, 11_689_512),
        pytest.param(34, 21_797_672, marks=full),
        (50, 25_557_032),
        pytest.param(101, 44_549_160, marks=full),
        pytest.param(152, 60_192_808, marks=full),
    ],
)
def test_parameters_for_imagenet_are_those_of_torchvision(depth, parameters):
    """Numbers of https://docs.pytorch.org/vision/stable/models.html."""
    assert count_parameters(build((224, 224, 3), 1000, depth=depth)) == parameters


@full
@pytest.mark.parametrize("depth", [50, 101, 152])
def test_parameters_are_those_of_keras_but_for_biases_before_batch_norm(depth):
    from imgcls.backend import keras

    oracle = getattr(keras.applications, f"ResNet{depth}")(weights=None)
    convolutions = list_convolutions(oracle)
    biases = sum(layer.filters for layer in convolutions)
    model = build((224, 224, 3), 1000, depth=depth)
    assert count_parameters(model) == count_parameters(oracle) - biases
    assert list_kernels(list_convolutions(model)) == list_kernels(convolutions)


def test_resnet_20_of_width_9_is_the_published_one_for_fashion_mnist():
    assert count_parameters(build((28, 28, 1), depth=20, width=9)) == 86_707


def test_widths_of_each_stage_are_those_of_one_width_that_doubles():
    one = build((28, 28, 1), depth=14, width=8)
    each = build((28, 28, 1), depth=14, width=[8, 16, 32])
    assert list_kernels(list_convolutions(each)) == list_kernels(list_convolutions(one))


@pytest.mark.parametrize("shortcut", ["projection", "zero_padding"])
def test_a_stage_may_keep_the_width_of_the_one_before(shortcut):
    model = build((28, 28, 1), depth=8, width=[8, 16, 16], shortcut=shortcut)
    assert model.get_layer("stage_3_block_1_activation_2").output.shape == (None, 7, 7, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": [8, 16]}, r"width is \[8, 16\], but depth 20 has 3 stages; give a number for"),
        ({"depth": 18, "width": [8, 16, 32]}, "depth 18 has 4 stages"),
        ({"width": [8, 12, 24], "shortcut": "zero_padding"}, "needs multiples of the stage before"),
        ({"width": [8, 0, 24]}, "must be the filters of the first stage, or a list"),
        ({"width": 0}, "must be the filters of the first stage, or a list"),
    ],
)
def test_widths_that_do_not_suit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_settings(**settings)


@pytest.mark.parametrize("depth", [1, 2, 7, 19, 21, 100, 151])
def test_another_depth_is_an_error_that_names_those_allowed(depth):
    with pytest.raises(
        ValueError, match=rf"is {depth}, but must be 6n \+ 2, such as 20, 32, .* 18, 34, 50, 101"
    ):
        make_settings(depth=depth)


@pytest.mark.parametrize(
    ("depth", "stages", "filters"), [(8, 3, 64), (14, 3, 64), (18, 4, 512), (50, 4, 2048)]
)
def test_the_depth_decides_the_stages(depth, stages, filters):
    model = build((64, 64, 3), depth=depth)
    names = {layer.name[:7] for layer in model.layers if layer.name.startswith("stage_")}
    assert names == {f"stage_{number}" for number in range(1, stages + 1)}
    assert model.get_layer("pooling").output.shape == (None, filters)


@pytest.mark.parametrize(
    ("size", "stem", "kernel_size", "pixels"),
    [
        (64, None, 3, 64),
        (65, None, 7, 17),
        (32, "7x7", 7, 8),
        (96, "3x3", 3, 96),
    ],
)
def test_the_stem_follows_the_size_unless_it_is_set(size, stem, kernel_size, pixels):
    model = build((size, size, 3), depth=8, stem=stem)
    assert model.get_layer("stem_convolution").kernel_size == (kernel_size, kernel_size)
    assert model.get_layer("stage_1_block_1_convolution_1").output.shape[1:3] == (pixels, pixels)


@pytest.mark.parametrize(
    ("size", "settings", "note"),
    [
        (32, {}, "a 3x3 convolution with stride 1, since images have 32x32 pixels"),
        (72, {}, "a 7x7 convolution with stride 2 and max pooling, since images have 72x72"),
        (32, {"stem": "7x7"}, "which suits images of 224x224; images of 32x32 lose detail"),
    ],
)
def test_a_note_says_which_stem_was_chosen_and_warns_of_a_large_one(size, settings, note, capsys):
    build((size, size, 3), depth=8, **settings)
    assert note in capsys.readouterr().err


@pytest.mark.parametrize(("size", "stem"), [(32, "3x3"), (72, "7x7")])
def test_a_stem_that_is_set_and_suits_the_images_gets_no_note(size, stem, capsys):
    build((size, size, 3), depth=8, stem=stem)
    assert capsys.readouterr().err == ""


def test_images_smaller_than_the_total_stride_are_refused():
    with pytest.raises(
        UserError,
        match=r"images of 7x9 pixels are too small for a total stride of 8, .* set model.stem: 3x3",
    ):
        build((7, 9, 3), depth=18)
    assert build((4, 4, 3), depth=8).output.shape == (None, 10)


def test_a_block_is_the_identity_at_first_unless_zero_init_is_off():
    images = numpy.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), numpy.uint8)
    for zero_init, same in ((True, True), (False, False)):
        model = build((16, 16, 3), depth=14, zero_init_residual=zero_init)
        before = evaluate(model, "stem_activation", images)
        after = evaluate(model, "stage_1_block_2_activation_2", images)
        assert numpy.array_equal(before, after) == same
        assert before.any()


def test_a_shortcut_of_zero_padding_takes_every_second_pixel_and_adds_zeros():
    images = numpy.random.default_rng(0).integers(0, 256, (2, 15, 16, 3), numpy.uint8)
    model = build((15, 16, 3), depth=8, shortcut="zero_padding")
    block = model.get_layer("stage_1_block_1_activation_2").output
    pixels = evaluate(model, block, images)[:, ::2, ::2]
    shortcut = evaluate(model, "stage_2_block_1_shortcut_padding", images)
    numpy.testing.assert_array_equal(shortcut, numpy.concatenate([pixels, 0 * pixels], -1))


def test_bottlenecks_have_their_stride_in_the_second_convolution():
    model = build((64, 64, 3), depth=50)
    strides = [model.get_layer(f"stage_2_block_1_convolution_{n}").strides for n in (1, 2, 3)]
    assert strides == [(1, 1), (2, 2), (1, 1)]


def test_only_a_3x3_stem_is_sure_to_have_no_max_pooling():
    """XLA cannot compile it deterministically, and the size of the images is not known then."""
    assert make_settings(stem="3x3").get_layer_types() == {"batch norm"}
    assert make_settings().get_layer_types() == {"batch norm", "max pooling"}
