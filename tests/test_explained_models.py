"""Every model part can be explained: as it is saved and loaded again, of any precision, pruned, and
with models within it.
"""

import explained_networks as networks
import numpy
import pytest
import small_models
from experiments import describe_model
from explained_networks import explain, make_target, random_pixels
from pruned_models import SIZE, make_model

from imgcls import parts
from imgcls.backend import keras, tf
from imgcls.compression.folding import fold_batch_norm
from imgcls.compression.networks import TEMPERATURE
from imgcls.explanation.features import find_features
from imgcls.explanation.network import Network
from imgcls.training.model_file import make_serving_model, save_model

CHEAP = {
    "grad_cam": {},
    "integrated_gradients": {"steps": 2},
    "smooth_gradients": {"samples": 2},
    "occlusion": {"patch": 0.5, "stride": 1.0},
}
"""Settings with which a method takes little time."""


def load_again(model, path):
    """Return the network within the file that a run has of a model."""
    classes = [str(number) for number in range(model.output_shape[-1])]
    save_model(make_serving_model(model, 1.5), describe_model(classes, SIZE), path)
    loaded = keras.models.load_model(path, compile=False)
    logits = keras.Model(loaded.inputs[0], loaded.get_layer(TEMPERATURE).input)
    return loaded, Network(logits, 1.5, 4)


def assert_explained(network):
    """Explain an image by every method, and check that the map says something."""
    target = make_target(random_pixels(network), baseline=100)
    for method in parts.list_names("explainers"):
        found = explain(network, target, method, **CHEAP[method])
        assert found.shape == network.shape[:2]
        assert found.dtype == numpy.float32
        assert numpy.isfinite(found).all(), method
        assert method == "grad_cam" or numpy.ptp(found) > 0, method


@pytest.mark.parametrize("name", small_models.MARKED)
def test_every_model_is_explained_from_its_file(name, tmp_path):
    loaded, network = load_again(make_model(name), tmp_path / "model.keras")
    pixels = numpy.random.default_rng(0).integers(0, 256, (3, *SIZE), numpy.uint8)
    model = keras.Model(loaded.inputs[0], loaded.get_layer(TEMPERATURE).input)
    expected = tf.function(model, autograph=False)(pixels).numpy()  # which rounds as it does
    logits = network.compute_logits(pixels.astype(numpy.float32))
    numpy.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * numpy.abs(expected).max())
    assert_explained(network)
    assert find_features(network, None).pixels > 1


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_a_pruned_model_is_explained(name, tmp_path):
    from imgcls.pruning.rebuild import remove_channels
    from imgcls.pruning.trace import trace

    model = make_model(name)
    traced = trace(model)
    kept = traced.keep_all()
    for use in traced.uses:
        if use.outputs[0] not in traced.reasons and len(use.outputs) > 2:
            kept[use.outputs[0]] = False
    narrow = remove_channels(model, traced, kept)
    assert narrow.count_params() < model.count_params()
    assert_explained(load_again(narrow, tmp_path / "model.keras")[1])


@pytest.mark.parametrize("name", ["resnet", "speed"])
def test_a_folded_model_has_the_maps_of_the_original(name, tmp_path):
    model = make_model(name)
    folded, names, _ = fold_batch_norm(model)
    assert names
    _, network = load_again(model, tmp_path / "model.keras")
    _, other = load_again(folded, tmp_path / "folded.keras")
    target = make_target(random_pixels(network), baseline=100)
    for method in parts.list_names("explainers"):
        one, two = (explain(each, target, method, **CHEAP[method]) for each in (network, other))
        numpy.testing.assert_allclose(one, two, atol=2e-3 * numpy.abs(one).max(), err_msg=method)


@pytest.mark.parametrize("precision", ["mixed_float16", "float64"])
def test_a_model_of_another_precision_is_explained_in_float32(precision, tmp_path):
    keras.config.set_dtype_policy(precision)
    model = make_model("resnet")
    keras.config.set_dtype_policy("float32")
    loaded, network = load_again(model, tmp_path / "model.keras")
    pixels = numpy.random.default_rng(0).integers(0, 256, (3, *SIZE), numpy.uint8)
    expected = loaded(pixels).numpy()
    probabilities = network.compute_probabilities(pixels.astype(numpy.float32))
    assert (probabilities.argmax(axis=1) == expected.argmax(axis=1)).all()
    numpy.testing.assert_allclose(probabilities, expected, atol=0.1)
    assert_explained(network)


def test_a_model_within_a_model_is_looked_into():
    inside = keras.Input((10, 10, 4))
    features = keras.layers.Conv2D(5, 3, activation="tanh", name="inner")(inside)
    backbone = keras.Model(inside, keras.layers.BatchNormalization()(features), name="backbone")
    stem = keras.Sequential([keras.layers.Conv2D(4, 3, name="outer", activation="gelu")])
    images = keras.Input((12, 12, 3), dtype="uint8")
    outputs = backbone(stem(keras.layers.Rescaling(1 / 255)(images)))
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(outputs))
    network = networks.make_network(logits, images)
    assert [call.name for call in network.calls][1:3] == ["outer", "inner"]
    assert find_features(network, None).name.startswith("batch_norm")
    pixels = random_pixels(network)
    model = keras.Model(images, logits)
    numpy.testing.assert_allclose(
        network.compute_logits(pixels[None]), model(pixels[None].astype(numpy.uint8)), atol=1e-6
    )
    assert_explained(network)
    target = make_target(pixels, label=2)
    explain(network, target, "grad_cam", layer="inner")
