"""Networks of the real KerasHub: their features, weights, and files."""

import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import small_models
from experiments import command, weights
from hub_presets import BACKBONES, CONVERTER, make_backbone, write_preset

from imgcls import parts
from imgcls.backend import keras
from imgcls.errors import DataError, UserError
from imgcls.models import _hub_presets
from imgcls.models._batch_norm import BatchNorm
from imgcls.run import Run
from imgcls.training import model_file
from imgcls.transfer import source
from imgcls.transfer.record import read_initial_weights
from imgcls.verbs import train

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("default"),  # the library's own are not ours
]
PART = parts.load("models", "keras_hub")
SIZE = CONVERTER["image_size"]
each_kind = pytest.mark.parametrize("kind", BACKBONES)


def make_settings(folder, **settings):
    return PART.Settings(name="keras_hub", preset=str(folder), **settings)


def build(folder, channels=3, size=SIZE):
    return small_models.build(make_settings(folder), (*size, channels))


def make_images(channels=3):
    shape = (2, *SIZE, channels)
    return numpy.random.default_rng(1).integers(0, 256, shape, numpy.uint8)


def compute_expected(folder, backbone, images):
    """Return the features that KerasHub computes of images of the converter's size."""
    import keras_hub

    converter = keras_hub.layers.ImageConverter.from_preset(str(folder))
    features = backbone(converter(images.astype("float32")))
    return numpy.asarray(features).mean(axis=(1, 2))


@each_kind
def test_features_are_those_of_keras_hub_and_the_layers_ours(tmp_path, kind):
    backbone, images = write_preset(tmp_path, kind), make_images()
    model = build(tmp_path)
    matched = small_models.load_weights(model, PART.load_imagenet(make_settings(tmp_path)))
    new = [row.tensor for row in matched.rows if row.status != "loaded"]
    assert new == ["logits/kernel", "logits/bias"]
    expected = compute_expected(tmp_path, backbone, images)
    assert expected.std() > 1e-3
    numpy.testing.assert_allclose(
        small_models.compute_features(model, images), expected, atol=1e-4 * abs(expected).max()
    )
    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    assert all(isinstance(each, BatchNorm) for each in norms)
    assert not any(isinstance(each, keras.layers.Dropout) for each in model.layers)
    pooling = any(isinstance(each, keras.layers.MaxPooling2D) for each in model.layers)
    has = {"batch norm": bool(norms), "max pooling": pooling}
    found = {layer for layer in has if has[layer]}
    assert found <= make_settings(tmp_path).get_layer_types()
    assert kind == "cspnet" or found == make_settings(tmp_path).get_layer_types()


def test_model_keras_loads_without_imgcls_and_keras_hub(tmp_path):
    images, expected = make_images(), {}
    numpy.save(tmp_path / "images.npy", images)
    for kind in BACKBONES:
        write_preset(tmp_path / "preset" / kind, kind)
        model = build(tmp_path / "preset" / kind)
        served = model_file.make_serving_model(model_file.make_plain_model(model), 1.0)
        served.save(tmp_path / f"{kind}.keras")
        expected[kind] = keras.ops.softmax(model(images, training=False)).numpy()
    program = (
        "import pathlib, sys, keras, numpy\n"
        "sys.modules['imgcls'] = sys.modules['keras_hub'] = None\n"
        "images = numpy.load('images.npy')\n"
        "for path in pathlib.Path().glob('*.keras'):\n"
        "    numpy.save(path.stem, keras.models.load_model(path)(images).numpy())\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    for kind, probabilities in expected.items():
        numpy.testing.assert_allclose(
            numpy.load(tmp_path / f"{kind}.npy"), probabilities, atol=1e-6
        )


def test_the_presets_of_the_families_are_those_of_the_installed_library():
    import keras_hub

    _hub_presets.list_presets.cache_clear()
    for family, known in _hub_presets.FAMILIES.items():
        found = {name for name, of in _hub_presets.list_presets().items() if of == family}
        assert found == getattr(keras_hub.models, known.backbone).presets.keys()
    classifiers = keras_hub.models.ImageClassifier.presets.keys()
    assert classifiers <= _hub_presets.list_presets().keys()


def test_a_grayscale_image_gives_the_features_of_that_image_in_color(tmp_path):
    write_preset(tmp_path)
    gray, color, images = build(tmp_path, 1), build(tmp_path), make_images(1)
    for model in (gray, color):
        small_models.load_weights(model, PART.load_imagenet(make_settings(tmp_path)))
    numpy.testing.assert_allclose(
        small_models.compute_features(gray, images),
        small_models.compute_features(color, images.repeat(3, axis=-1)),
        rtol=1e-5,
    )


def test_images_of_four_channels_are_standardized_and_refuse_weights_for_three(tmp_path):
    write_preset(tmp_path)
    model = build(tmp_path, 4)
    assert model.layers[1].name == "standardize"
    with pytest.raises(UserError, match=r"3 channels, but these have 4; set data\.channels: 3"):
        small_models.load_weights(model, PART.load_imagenet(make_settings(tmp_path)))


def test_a_preset_without_an_image_converter_standardizes_as_others_do(tmp_path):
    make_backbone(image_shape=(None, None, 1)).save_to_preset(str(tmp_path))
    model = build(tmp_path, 1)
    assert model.layers[1].name == "standardize"
    weights = PART.load_imagenet(make_settings(tmp_path))
    assert {row.status for row in small_models.load_weights(model, weights).rows} == {
        "loaded",
        "new",
    }
    assert weights.trained_on is None


@pytest.mark.parametrize(
    ("kind", "layer"), [("ViTBackbone", "ViTEncoder"), ("EfficientNetBackbone", "FusedMBConvBlock")]
)
def test_layers_of_the_librarys_own_are_refused(tmp_path, kind, layer):
    import keras_hub

    if kind == "ViTBackbone":
        sizes = {"num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8}
        backbone = keras_hub.models.ViTBackbone((32, 32, 3), (16, 16), **sizes)
        layer = "a ViTBackbone"
    else:
        backbone = make_backbone("efficientnet", stackwise_block_types=["fused", "v1"])
    backbone.save_to_preset(str(tmp_path))
    with pytest.raises(
        UserError, match=rf"{layer}, has layers of KerasHub's own, whose batch norm"
    ):
        build(tmp_path)


def test_images_that_are_too_small_are_refused_in_one_line(tmp_path):
    write_preset(tmp_path, "vgg")
    with pytest.raises(UserError, match=r"KerasHub refuses .*; .* give a larger data\.size"):
        build(tmp_path, size=(3, 3))


def write_classifier(folder):
    """Save a classifier of three classes, whose last layer is among what is not used."""
    import keras_hub

    converter = keras_hub.layers.ResNetImageConverter(**CONVERTER)
    preprocessor = keras_hub.models.ResNetImageClassifierPreprocessor(converter)
    classifier = keras_hub.models.ResNetImageClassifier(make_backbone(), 3, preprocessor)
    classifier.save_to_preset(str(folder))


def test_the_last_layer_of_a_classifier_is_listed_as_unused(tmp_path):
    write_classifier(tmp_path)
    matched = small_models.load_weights(
        build(tmp_path), PART.load_imagenet(make_settings(tmp_path))
    )
    unused = {(tuple(row.shape), row.reason) for row in matched.rows if row.status == "unused"}
    reason = "of the classifier's last layers, whose classes the preset does not name"
    of_the_optimizer = ((), "not a weight of a layer")
    assert unused == {((64, 3), reason), ((3,), reason), of_the_optimizer}


def test_a_run_starts_from_a_preset_and_says_what_was_loaded(digits, workspace, capsys):
    backbone = write_preset(workspace / "own")
    settings = digits(
        "model={name: keras_hub, preset: own, weights: imagenet}",
        "train.optimizer={name: sgd, learning_rate: 1.0e-30}",
        "train.epochs=1",
    )
    train.train(settings, Path("run"))
    stderr = capsys.readouterr().err
    assert "2 new" in stderr
    assert "own was trained on images of 40x44 (bicubic with antialiasing, cropped)" in stderr
    record = read_initial_weights(Run(Path("run")).weights_file)
    assert (record.weights, record.source) == ("imagenet", "own (own/model.weights.h5)")
    assert record.sha256 == source.compute_sha256(settings.model)
    assert {row.tensor for row in record.tensors if row.status != "loaded"} == {
        "logits/kernel",
        "logits/bias",
    }
    kernels = [each for each in weights(Run(Path("run"))) if each.ndim == 4]
    for kernel, other in zip(
        kernels, (each for each in backbone.get_weights() if each.ndim == 4), strict=True
    ):
        numpy.testing.assert_array_equal(kernel, other)
    (workspace / "own" / "model.weights.h5").write_bytes(b"changed")
    exit_code, _, stderr = command("eval", "run", "--split", "validation")
    assert exit_code == 0, stderr
    exit_code, _, stderr = command("reproduce", "run")
    assert exit_code == 3
    assert "own (own/model.weights.h5), have changed" in stderr


@pytest.mark.parametrize("keep", [0, 0.5])
def test_truncated_weights_are_an_error_of_one_line(tmp_path, keep):
    write_preset(tmp_path)
    path = tmp_path / "model.weights.h5"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DataError, match=r"KerasHub cannot load .*\(.*\); save the preset again"):
        PART.load_imagenet(make_settings(tmp_path))


def test_a_failed_download_says_how_to_do_without(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.delenv("no_proxy", raising=False)
    message = r"KerasHub cannot download resnet_18_imagenet \(.*\); .*save_to_preset\('folder'\)"
    settings = PART.Settings(name="keras_hub")
    with pytest.raises(DataError, match=message):
        PART.load_imagenet(settings)
    with pytest.raises(DataError, match=message):
        small_models.build(settings, (32, 32, 3))
