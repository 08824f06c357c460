"""Frozen layers: they do not change, cost no backward pass, and resuming is exact at any step."""

import signal
from pathlib import Path

import numpy
import pytest
from experiments import (
    MIRRORED,
    SGD,
    TINY,
    assert_same_result,
    command,
    weights,
    write_experiment,
)

from imgcls.durations import parse_duration
from imgcls.errors import Interrupted, UserError
from imgcls.io.signals import StopRequest
from imgcls.run import Run
from imgcls.train_config import Train
from imgcls.training.new_run import create_run
from imgcls.verbs import train

STEPS = ("train.steps_per_execution=4", "train.checkpoint=null", "train.select_weights=last")
SETTINGS = (
    *STEPS,
    "model={name: cnn, filters: [4, 4], dense: [8], batch_norm: true, dropout: 0.5}",
    "train.epochs=2",
)
FREEZE = "train.freeze=[{layers: '_1$', until: 8 steps}, {depth: 2, until: 3 steps}]"


def make_trainer(settings, folder):
    from imgcls.store.lookup import find_store
    from imgcls.training.trainer import Trainer

    return Trainer(create_run(settings, Path(folder)), settings, *find_store(settings))


def values(trainer):
    """Return the model's values by the path of their variable."""
    return {each.path: each.numpy() for each in trainer.model.variables}


def changed(before, after):
    """Return the names of the layers whose values differ."""
    return {path.split("/")[0] for path, value in after.items() if (before[path] != value).any()}


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("train.precision=mixed_float16", "train.ema.decay=0.8"),
        pytest.param(
            ("train.optimizer={name: adamw, weight_decay: 0.5}", MIRRORED), marks=pytest.mark.full
        ),
    ],
    ids=["float32", "mixed_float16 and averaged", "mirrored and decayed"],
)
def test_frozen_layers_do_not_change_and_the_others_do(digits, overrides):
    settings = digits(*SETTINGS, *overrides, "train.freeze=[{layers: '^(conv|batch).*_1$'}]")
    trainer = make_trainer(settings, "run")
    before = values(trainer)
    next(trainer.train_epochs(StopRequest()))
    trainer.close()
    assert changed(before, values(trainer)) == {
        *("convolution_2", "batch_norm_2", "dense_1", "logits")
    }


def test_batch_norm_in_frozen_layers_can_be_trained(digits):
    settings = digits(*SETTINGS, "train.freeze=[{depth: 2, batch_norm: trained}]")
    trainer = make_trainer(settings, "run")
    before = values(trainer)
    next(trainer.train_epochs(StopRequest()))
    trainer.close()
    after = values(trainer)
    assert changed(before, after) == {"batch_norm_1", "batch_norm_2", "dense_1", "logits"}
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        assert (before[f"batch_norm_1/{name}"] != after[f"batch_norm_1/{name}"]).any()


def test_a_frozen_layer_has_no_backward_pass(digits):
    from imgcls.store.lookup import find_store
    from imgcls.training import build
    from imgcls.training.phases import Phase
    from imgcls.training.replicated_model import ReplicatedModel

    settings = digits(*SETTINGS)
    build.set_up_process(settings)
    from imgcls.backend import tf

    replicated = ReplicatedModel(
        settings, *find_store(settings), tf.distribute.OneDeviceStrategy("CPU:0")
    )
    replicated.compile_steps(1)
    layers = {layer.name: layer for layer in replicated.model.layers}

    def count_gradients(*frozen):
        replicated.start_phase(
            Phase(0, len(frozen) + 1, tuple(layers[name] for name in frozen), (8, 8))
        )
        images, labels = tf.zeros([4, 8, 8, 1], tf.uint8), tf.zeros([4], tf.int64)
        graph = tf.function(replicated.steps._compute_gradients).get_concrete_function(
            tf.constant(0), tf.constant(0), images, labels, tf.ones([4]) / 4
        )
        names = [node.op for node in graph.graph.as_graph_def().node]
        return [names.count(f"Conv2DBackprop{kind}") for kind in ("Filter", "Input")]

    # Of each layer that gradients pass, TensorFlow makes both, and removes what nothing needs.
    assert count_gradients() == [2, 2]
    assert count_gradients("convolution_1") == [1, 1]
    assert count_gradients("convolution_1", "batch_norm_1") == [1, 1]
    assert count_gradients("convolution_1", "batch_norm_1", "convolution_2") == [0, 0]


@pytest.mark.full
@pytest.mark.parametrize("step", [2, 3, 7, 8])
def test_a_run_interrupted_around_a_boundary_ends_with_the_same_bits(digits, step, monkeypatch):
    """Boundaries are after 3 and 8 of 12 steps, executions of 4 steps would go across them."""
    settings = digits(*SETTINGS, FREEZE)
    train.train(settings, Path("whole"))
    # A checkpoint every `step` steps divides the executions, which changes no bit.
    interrupted = digits(*SETTINGS, FREEZE, f"train.checkpoint={step} steps")
    from imgcls.training.state import TrainingState

    stop_or_save = TrainingState.stop_or_save

    def stop_at_step(self, stop, epoch_end):
        if self.counters.step == step:
            stop.signal = signal.SIGTERM
        stop_or_save(self, stop, epoch_end)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "stop_or_save", stop_at_step)
        with pytest.raises(Interrupted, match=f"SIGTERM at step {step};"):
            train.train(interrupted, Path("parts"))
    train.train(settings, Path("parts"))
    assert_same_result(Run(Path("whole")), Run(Path("parts")))


def test_executions_end_at_boundaries_and_each_phase_is_printed_and_logged(digits, capsys):
    train.train(digits(*SETTINGS, FREEZE), Path("run"))
    error = capsys.readouterr().err
    phases = [line for line in error.splitlines() if "layers with weights" in line]
    assert phases == [
        "note: steps 1 to 3 of 12: images of 8x8 pixels; 5 of 6 layers with weights are frozen,"
        " with 348 of 438 parameters; of 2 batch norms, 2 are frozen",
        "note: steps 4 to 8 of 12: images of 8x8 pixels; 3 of 6 layers with weights are frozen,"
        " with 188 of 438 parameters; of 2 batch norms, 1 are frozen",
        "note: steps 9 to 12 of 12: images of 8x8 pixels; all 6 layers with weights are trained"
        " (438 parameters)",
    ]
    assert [(each.frozen_layers, each.trained_parameters) for each in Run(Path("run")).log] == [
        (3, 242),
        (0, 422),
    ]


def test_the_first_step_of_the_others_is_that_without_freezing(digits):
    """The oracle: one step on all layers, in which the others change in the same way."""
    step = ("train.epochs=1", "train.batch_size=1294", f"train.optimizer={SGD % 0.1}")
    settings = (*SETTINGS, *step, "model.batch_norm=false")
    frozen = make_trainer(digits(*settings, "train.freeze=[{depth: 1}]"), "frozen")
    whole = make_trainer(digits(*settings), "whole")
    for trainer in (frozen, whole):
        next(trainer.train_epochs(StopRequest()))
        trainer.close()
    for path, value in values(frozen).items():
        if not path.startswith("convolution_1"):
            numpy.testing.assert_allclose(value, values(whole)[path], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("[{layers: stage_9}]", "freeze.0.layers is 'stage_9', which is found in the name of no"),
        ("[{depth: 9}]", "freeze.0.depth is 9, but the model has 3 layers with weights"),
        ("[{layers: .}]", "train.freeze freezes all layers of the model from step 1 to 12"),
        ("[{depth: 1, until: 13 steps}]", "until is 13 steps, but the training has 12 steps"),
        ("[{layers: norm, batch_norm: trained}]", "freeze.0 selects batch norm only"),
    ],
)
def test_what_cannot_be_frozen_is_refused(digits, freeze, message):
    with pytest.raises(UserError) as caught:
        train.train(digits(*SETTINGS, f"train.freeze={freeze}"), Path("run"))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "needs either layers, a regular expression, or depth"),
        ({"layers": "a", "depth": 1}, "got both"),
        ({"layers": "("}, "is '(', which is not a regular expression"),
        ({"depth": 1.5}, "must be a number of layers such as 3, or a fraction"),
        ({"depth": 1, "until": "3 epochs"}, "train.freeze.0.until is 3 epochs, but train.epochs"),
    ],
)
def test_a_malformed_section_is_reported_with_its_place(workspace, section, message):
    content = {**TINY, "train": {**TINY["train"], "freeze": [section]}}
    exit_code, _, error = command("check", write_experiment(workspace, content))
    assert exit_code == 2
    assert message in " ".join(error.split())
    assert "experiment.yaml:" in error


def test_adam_corrects_the_bias_of_a_variable_from_its_own_first_step():
    """Keras's Adam, which is built when the variable is unfrozen, is the oracle."""
    from imgcls.backend import keras, tf
    from imgcls.optimizers import adam
    from imgcls.training import build

    rate = build.StepLearningRate()
    rate.value = tf.constant(0.1)
    late, early = (keras.Variable(numpy.ones((2, 2), numpy.float32)) for _ in range(2))
    optimizer = adam.build(adam.Settings(name="adam"), rate)
    optimizer.build([early, late])
    optimizer.set_first_steps([early, late], [0, 3])
    oracle, expected = keras.optimizers.Adam(0.1), keras.Variable(numpy.ones((2, 2), numpy.float32))
    gradients = numpy.random.default_rng(0).normal(size=(6, 2, 2)).astype(numpy.float32)
    for step, gradient in enumerate(gradients):
        optimizer.apply(
            [gradient] if step < 3 else [gradient] * 2, [early, late][: 1 + (step >= 3)]
        )
        if step >= 3:
            oracle.apply([gradient], [expected])
            numpy.testing.assert_allclose(late.numpy(), expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        "{name: schedule_free, learning_rate: 0.01}",
        pytest.param("{name: muon}", marks=pytest.mark.full),
        pytest.param("{name: lamb}", marks=pytest.mark.full),
        pytest.param("{name: lion}", marks=pytest.mark.full),
    ],
)
def test_every_optimizer_keeps_frozen_layers_and_what_is_validated_of_them(digits, optimizer):
    settings = digits(
        *(*SETTINGS, f"train.optimizer={optimizer}", "train.calibration=none"),
        "train.freeze=[{depth: 2, until: 6 steps}, {depth: 1}]",
    )
    trainer = make_trainer(settings, "run")
    before = values(trainer)
    epochs = trainer.train_epochs(StopRequest())
    next(epochs)
    after = values(trainer)
    assert changed(before, after) == {"dense_1", "logits"}
    with trainer._replicated.use_validated_weights():
        assert changed(before, values(trainer)) == {"dense_1", "logits"}
    next(epochs)
    trainer.close()
    unfrozen = values(trainer)["convolution_2/kernel"]
    assert 0 < abs(unfrozen - before["convolution_2/kernel"]).max() < 0.3
    train.train(settings, Path("whole"))
    kernel = weights(Run(Path("whole")))[0]
    numpy.testing.assert_array_equal(kernel, before["convolution_1/kernel"])


@pytest.mark.parametrize(
    ("freeze", "note"),
    [
        ([], "2 of 2 batch norms are trained from the first step on"),
        ([{"layers": "first", "until": parse_duration("50%")}], "1 of 2 batch norms"),
        ([{"layers": "first|dense", "batch_norm": "trained"}], "2 of 2"),
        ([{"layers": "batch_norm"}], ""),
    ],
)
def test_a_note_says_that_training_batch_norm_changes_what_the_probe_was_fitted_on(
    freeze, note, capsys
):
    from imgcls.backend import keras
    from imgcls.transfer.linear_probe import _note_trained_batch_norms

    images = keras.Input((8, 8, 1))
    features = keras.layers.BatchNormalization(name="first_batch_norm")(images)
    features = keras.layers.Dense(4, name="dense")(features)
    features = keras.layers.BatchNormalization(name="second_batch_norm")(features)
    settings = Train.model_validate({"freeze": freeze})
    _note_trained_batch_norms(keras.Model(images, features), settings)
    printed = capsys.readouterr().err
    assert note in printed
    assert bool(note) == bool(printed)
