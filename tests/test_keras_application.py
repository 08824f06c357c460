"""Networks of keras.applications: their preprocessing, layers, and weights."""

import gc
import re
import urllib.request

import h5py
import numpy
import pytest
import small_models

from imgcls import parts
from imgcls.backend import keras
from imgcls.errors import DataError, UserError
from imgcls.models import Problem, _application_layers
from imgcls.models import _application_families as families
from imgcls.models._batch_norm import BatchNorm
from imgcls.training import layer_selection
from imgcls.transfer import initialization
from imgcls.transfer.keras_file import read_keras_file

PART = parts.load("models", "keras_application")
SIZE = 96
"""Height and width of the images, as all applications allow."""
SMALLEST = "MobileNetV3Small"
ONE_OF_EACH_FAMILY = {
    "convnext": "ConvNeXtTiny",
    "densenet": "DenseNet121",
    "efficientnet": "EfficientNetB0",
    "efficientnet_v2": "EfficientNetV2B0",
    "inception_resnet_v2": "InceptionResNetV2",
    "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3": SMALLEST,
    "nasnet": "NASNetMobile",
    "resnet": "ResNet50",
    "resnet_v2": "ResNet50V2",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "xception": "Xception",
}
each_family = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == SMALLEST else [pytest.mark.full])
        for name in [*ONE_OF_EACH_FAMILY.values(), "EfficientNetV2S"]
    ],
)


def make_settings(application=SMALLEST, **changes):
    return PART.Settings(name="keras_application", application=application, **changes)


def build(application=SMALLEST, channels=3, size=SIZE, **changes):
    return small_models.build(make_settings(application, **changes), (size, size, channels))


def make_original(application, **changes):
    """Return Keras's own network, with values that are not those of a new one."""
    shape = (SIZE, SIZE, 3)
    function = getattr(keras.applications, application)
    model = function(weights=None, include_top=False, pooling="avg", input_shape=shape, **changes)
    generator = numpy.random.default_rng(0)
    for variable in model.weights:
        if "kernel" in variable.path or "count" in variable.path:
            continue
        is_factor = "variance" in variable.path or "gamma" in variable.path
        low, high = (0.5, 1.5) if is_factor else (-0.1, 0.1)
        variable.assign(generator.uniform(low, high, variable.shape))
    return model


@pytest.fixture(scope="module")
def original():
    """Keras's smallest network."""
    return make_original(SMALLEST)


@pytest.fixture(scope="module")
def smallest():
    """Ours, built after others; a test may change its weights."""
    keras.layers.ReLU()
    return build()


def make_images(channels=3):
    shape = (2, SIZE, SIZE, channels)
    return numpy.random.default_rng(1).integers(0, 256, shape, numpy.uint8)


def assert_close(one, other):
    assert numpy.abs(other).max() > 0
    numpy.testing.assert_allclose(one, other, atol=1e-5 * numpy.abs(other).max())


def test_the_applications_are_those_of_the_installed_keras():
    functions = [name for name in dir(keras.applications) if re.match("[A-Z]", name)]
    assert families.list_applications() == sorted(functions)
    assert set(families.find_modules().values()) == families.FAMILIES.keys()
    assert ONE_OF_EACH_FAMILY.keys() == families.FAMILIES.keys()
    assert families.SIZES.keys() < set(functions)


@pytest.mark.parametrize("module", families.FAMILIES)
def test_pixels_are_scaled_as_the_module_does(module):
    """Those that say that the model does it return pixels as they are."""
    scale = getattr(keras.applications, module).preprocess_input
    pixels = numpy.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), numpy.uint8)
    expected = scale(pixels.astype("float32"))
    if numpy.array_equal(expected, pixels):
        mode = {"mobilenet_v3": "tf"}.get(module, "torch")
        expected = keras.applications.imagenet_utils.preprocess_input(
            pixels.astype("float32"), mode=mode
        )
    images = keras.Input((5, 6, 3), dtype="uint8")
    problem = Problem(2, [0.0] * 3, [1.0] * 3, 0)
    scaled = _application_layers.preprocess(
        images, families.FAMILIES[module].preprocessing, problem
    )
    numpy.testing.assert_allclose(
        keras.Model(images, scaled)(pixels), expected, rtol=1e-4, atol=1e-4
    )


@each_family
def test_features_are_those_of_keras_and_the_layers_ours(name):
    original, model = make_original(name), build(name)
    theirs = layer_selection.list_layers(original)
    for layer in original.layers:  # with the statistics of ImageNet
        if name == "EfficientNetB0" and isinstance(layer, keras.layers.Normalization):
            std = numpy.array([0.229, 0.224, 0.225])
            layer.set_weights([numpy.array([0.485, 0.456, 0.406]), std**2, numpy.array(0)])
            layer.finalize_state()
    ours = layer_selection.list_layers(model)[:-1]
    for layer, source in zip(ours, theirs, strict=True):
        layer.set_weights(source.get_weights())
    module = getattr(keras.applications, families.find_modules()[name])
    images = make_images()
    expected = original(module.preprocess_input(images.astype("float32"))).numpy()
    assert_close(small_models.compute_features(model, images), expected)

    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    assert all(isinstance(each, BatchNorm) for each in norms)
    assert not any(isinstance(each, keras.layers.Dropout) for each in model.layers)
    has_pooling = any(isinstance(each, keras.layers.MaxPooling2D) for each in model.layers)
    found = {"batch norm": bool(norms), "max pooling": has_pooling}
    assert make_settings(name).get_layer_types() == {kind for kind in found if found[kind]}


def test_names_of_layers_do_not_depend_on_earlier_models(smallest):
    names = [layer.name for layer in smallest.layers]
    numbers = sorted(
        int(name.removeprefix("re_lu").lstrip("_") or 0)
        for name in names
        if re.fullmatch(r"re_lu(_\d+)?", name)
    )
    assert numbers == list(range(len(numbers)))
    assert numbers


def test_the_network_that_keras_builds_does_not_stay_in_memory():
    def count_norms():
        gc.collect()
        return sum(type(each) is keras.layers.BatchNormalization for each in gc.get_objects())

    before = count_norms()
    model = build(size=32)
    assert count_norms() == before
    assert model.layers


@pytest.mark.parametrize("name", [SMALLEST, pytest.param("DenseNet121", marks=pytest.mark.full)])
def test_a_grayscale_image_gives_the_features_of_that_image_in_color(name, smallest):
    gray, color = build(name, 1), smallest if name == SMALLEST else build(name)
    gray.set_weights(color.get_weights())
    images = make_images(1)
    assert_close(
        small_models.compute_features(gray, images),
        small_models.compute_features(color, images.repeat(3, axis=-1)),
    )


def test_images_of_four_channels_are_standardized_and_refuse_weights_for_three(tmp_path, original):
    model = build(channels=4, size=32)
    assert model.layers[1].name == "standardize"
    original.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(UserError, match=r"3 channels, but these have 4; set data\.channels: 3"):
        small_models.load_weights(model, read_keras_file(tmp_path / "x.weights.h5"))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_files_of_keras_give_its_features(tmp_path, original, smallest):
    images = make_images()
    original.save_weights(tmp_path / "x.weights.h5")
    original.save(tmp_path / "x.keras")
    original.save(tmp_path / "x.h5")
    expected = original(images.astype("float32")).numpy()
    model = smallest
    for name in ("x.weights.h5", "x.keras", "x.h5"):
        matched = small_models.load_weights(model, read_keras_file(tmp_path / name))
        new = [row.tensor for row in matched.rows if row.status != "loaded"]
        assert new == ["logits/kernel", "logits/bias"]
        assert_close(small_models.compute_features(model, images), expected)


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Let Keras find files in a folder in the place of downloads."""
    file_utils = keras.src.utils.file_utils
    monkeypatch.setattr(file_utils, "get_file", lambda name, *_, **__: str(tmp_path / name))
    return tmp_path


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined")
@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "file"),
    [
        (SMALLEST, "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"),
        ("EfficientNetB0", "efficientnetb0_notop.h5"),
    ],
)
def test_imagenet_weights_give_the_features_of_keras(downloads, smallest, name, file):
    """EfficientNetB0's file has the std in the place of the variance, which Keras corrects only if
    `weights` is "imagenet", by another layer.
    """
    original = make_original(name)
    for layer in original.layers:
        if isinstance(layer, keras.layers.Normalization):
            std = numpy.array([0.229, 0.224, 0.225])
            layer.set_weights([numpy.array([0.485, 0.456, 0.406]), std, numpy.array(0)])
    original.save(downloads / "whole.h5")
    with h5py.File(downloads / "whole.h5") as source, h5py.File(downloads / file, "w") as target:
        for each in source["model_weights"]:
            source.copy(f"model_weights/{each}", target)
        target.attrs.update(source["model_weights"].attrs)
    function = getattr(keras.applications, name)
    keras_model = function(include_top=False, pooling="avg", input_shape=(SIZE, SIZE, 3))
    model, images = smallest if name == SMALLEST else build(name), make_images()
    matched = small_models.load_weights(model, PART.load_imagenet(make_settings(name)))
    expected = keras_model(images.astype("float32")).numpy()
    assert_close(small_models.compute_features(model, images), expected)
    keras_model.save(downloads / "whole.keras")
    assert initialization._compare_layers(model, read_keras_file(downloads / "whole.keras")) == []
    reasons = {row.reason for row in matched.rows if row.status == "unused"}
    assert reasons <= {"the model scales pixels by constants"}


def test_a_failed_download_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it was made for the earlier proxies
    with pytest.raises(DataError) as error:
        PART.load_imagenet(make_settings())
    file = "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
    assert re.search(
        rf"Keras cannot download https://\S+/{file} \(.*refused\]*>?\)", str(error.value)
    )
    assert f"save it as {tmp_path / 'models' / file}" in str(error.value)


@pytest.mark.parametrize(("size", "name"), [(8, SMALLEST), (70, "Xception")])
def test_images_that_are_too_small_are_refused_in_one_line(size, name):
    with pytest.raises(UserError, match=r"Input size must be at least (32x32|71x71).*data\.size"):
        build(name, size=size)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"application": "MobileNetV2Small"}, r"did you mean 'MobileNetV3Small'"),
        ({"application": "resnet"}, r"keras\.applications does not have; allowed: ConvNeXtBase, "),
        ({"application": "VGG16", "alpha": 0.5}, "VGG16 does not have it; give it for a MobileNet"),
    ],
)
def test_settings_that_no_application_has_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PART.Settings(name="keras_application", **settings)


@pytest.mark.full
def test_alpha_makes_a_mobilenet_narrower():
    counts = [
        small_models.count_parameters(build("MobileNetV2", size=32, alpha=alpha))
        for alpha in (0.35, None)
    ]
    head = 1280 * 10 + 10
    assert counts == [396_128 + head, 2_223_872 + head]  # as Keras's summary says
