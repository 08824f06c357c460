"""The learning rate of a run: scaled by batch size, and by layer."""

import re

import numpy
import pytest
from experiments import MIRRORED, experiment, weights

from imgcls import parts
from imgcls.backend import keras, tf
from imgcls.errors import UserError
from imgcls.models import Problem
from imgcls.run import Run
from imgcls.store.lookup import find_store
from imgcls.training import build
from imgcls.training.learning_rate_factors import compute_factors, group_by_block
from imgcls.training.replicated_model import ReplicatedModel
from imgcls.verbs.train import train

MODEL_FACTORS = "train.learning_rate_factors=[{layers: '%s', factor: %s}]"


def make_model(name, **settings):
    """Return a model for images of 32x32x3 in 10 classes."""
    part = parts.load("models", name)
    images = keras.Input((32, 32, 3), dtype="uint8")
    problem = Problem(classes=10, mean=[100.0] * 3, std=[50.0] * 3, dropout_seed=0)
    return keras.Model(images, part.build(part.Settings(name=name, **settings), images, problem))


def list_factors(settings, model):
    """Return the factor of each layer with trainable variables."""
    found = compute_factors(settings.train, model)
    factors = {}
    for i, variable in enumerate(model.trainable_variables):
        layer = variable.path.rpartition("/")[0]
        factors.setdefault(layer, found.get(i, 1.0))
        assert factors[layer] == found.get(i, 1.0)
    return factors


def test_factors_are_of_the_layers_whose_names_match_and_multiply(tmp_path):
    entries = "[{layers: convolution, factor: 0.5}, {layers: _1$, factor: 0.1}]"
    settings = experiment(tmp_path, f"train.learning_rate_factors={entries}")
    assert list_factors(settings, make_model("cnn", dense=[8, 8])) == {
        "convolution_1": 0.5 * 0.1,
        "convolution_2": 0.5,
        "dense_1": 0.1,
        "dense_2": 1.0,
        "logits": 1.0,
    }


def test_a_pattern_that_matches_no_layer_is_an_error_that_lists_the_layers(tmp_path):
    settings = experiment(tmp_path, MODEL_FACTORS % ("^block_9", 0.5))
    with pytest.raises(
        UserError, match=r"learning_rate_factors\.0\.layers is '\^block_9'.*convolution_1.*logits"
    ):
        compute_factors(settings.train, make_model("cnn"))


def test_layer_decay_is_a_power_by_block_and_leaves_the_last_layer(tmp_path, capsys):
    settings = experiment(tmp_path, "train.layer_decay=0.5")
    model = make_model("cnn", filters=[8, 8, 8], dense=[8], batch_norm=True)
    assert list_factors(settings, model) == {
        **{f"{name}_1": 0.5**4 for name in ("convolution", "batch_norm")},
        **{f"{name}_2": 0.5**3 for name in ("convolution", "batch_norm")},
        **{f"{name}_3": 0.5**2 for name in ("convolution", "batch_norm")},
        "dense_1": 0.5,
        "logits": 1.0,
    }
    assert "4 groups of layers, from convolution_1 to dense_1, are multiplied by 0.0625 to 0.5" in (
        capsys.readouterr().err
    )


def test_the_layers_of_a_block_decay_together():
    model = make_model("resnet", depth=20)
    groups = group_by_block(model)
    assert len(groups) == 1 + 9  # the stem, and three stages of three blocks
    for group in groups[1:]:
        assert len({re.match(r"stage_\d+_block_\d+", layer.name)[0] for layer in group}) == 1
    convolutions = [layer for group in groups for layer in group if hasattr(layer, "kernel")]
    assert len(convolutions) == sum(hasattr(layer, "kernel") for layer in model.layers) - 1


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_optimizer_of_a_run_has_the_factors(digits, precision):
    settings = digits(
        MODEL_FACTORS % ("convolution", 1e-4),
        f"train.precision={precision}",
        "train.optimizer={name: sgd, momentum: 0.0, learning_rate: 1.0}",
    )
    build.set_up_process(settings)
    store, split = find_store(settings)
    found = ReplicatedModel(settings, store, split, tf.distribute.get_strategy())
    found._step_learning_rate.value = tf.constant(1.0)
    before = [numpy.array(variable) for variable in found.model.trainable_variables]
    gradients = [
        found.optimizer.scale_loss(tf.ones_like(variable.value))
        for variable in found.model.trainable_variables
    ]
    found.optimizer.apply(gradients, found.model.trainable_variables)
    for variable, old in zip(found.model.trainable_variables, before, strict=True):
        expected = 1e-4 if "convolution" in variable.path else 1.0
        numpy.testing.assert_allclose(old - variable.numpy(), expected, rtol=1e-2)


@pytest.mark.parametrize(
    ("scaling", "factor"),
    [
        ("{batch_size: 64}", 4.0),
        ("{batch_size: 64, rule: sqrt}", 2.0),
        ("{batch_size: 1024, rule: linear}", 0.25),
        ("{batch_size: 256}", 1.0),
    ],
)
def test_the_learning_rate_is_scaled_by_the_batch_size(tmp_path, capsys, scaling, factor):
    shared = (
        "train.batch_size=256",
        "train.optimizer={name: sgd, learning_rate: 0.5}",
        "train.schedule=polynomial",
    )
    plain = build.build_schedule(experiment(tmp_path, *shared), 100)
    assert "scaling" not in capsys.readouterr().err
    scaled = build.build_schedule(
        experiment(tmp_path, *shared, f"train.learning_rate_scaling={scaling}"), 100
    )
    numpy.testing.assert_allclose(scaled(0, 100), factor * plain(0, 100), rtol=1e-12)
    assert f"with 256, it is {0.5 * factor:g}" in capsys.readouterr().err


@pytest.mark.full
def test_clipped_training_is_the_same_on_two_devices_in_micro_batches(digits, tmp_path):
    shared = (
        "train.precision=float64",
        "train.global_clipnorm=0.05",
        "train.epochs=1",
        "model.dropout=0",
    )
    more = (MIRRORED, "train.micro_batch_size=64")
    found = []
    for name, changes in (("plain", ()), ("other", more)):
        train(digits(*shared, *changes), tmp_path / name)
        found.append(weights(Run(tmp_path / name)))
    for one, other in zip(*found, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    train(digits(*shared, "train.global_clipnorm=null"), tmp_path / "unclipped")
    assert not numpy.allclose(found[0][-1], weights(Run(tmp_path / "unclipped"))[-1], rtol=1e-3)
