"""Losses, gradients and weights that are not finite."""

import json
from pathlib import Path

import numpy
import pytest
from experiments import SGD, as_they_are, cross_entropy

from imgcls.errors import DivergenceError
from imgcls.run import Run
from imgcls.verbs import train


def test_a_diverging_loss_stops_with_epoch_step_rate_and_images_and_keeps_the_last_good_state(
    digits,
):
    from imgcls.input.batches import Examples, ShuffledBatches
    from imgcls.store.lookup import find_store

    settings = digits(
        f"train.optimizer={SGD % 1e20}", "train.epochs=3", "train.steps_per_execution=4"
    )
    with pytest.raises(
        DivergenceError,
        match=(
            r"is not finite in epoch 1, at step 2, with a learning rate of 1e\+20, on the"
            r" images "
        ),
    ):
        train.train(settings, Path("run"))
    status = Run(Path("run")).status
    assert (status.status, status.exit_code) == ("failed", 4)
    store, split = find_store(settings)
    positions, _ = ShuffledBatches(
        Examples(store.open_reader(split.geometry), store.labels, split.train), settings
    ).compute_positions(1)
    assert status.divergence.images == store.get_ids(split.train[positions])
    assert not Run(Path("run")).model_file.exists()


def test_a_gradient_that_is_not_finite_stops_training_even_if_the_loss_is(digits):
    import numpy as np

    from imgcls.training import step_sums
    from imgcls.training.divergence import DivergenceDetector

    sums = step_sums.make_zeros()
    DivergenceDetector(6, lambda step: 0.5, lambda step: ["a", "b"]).check_steps(1, sums)
    sums[step_sums.NONFINITE_GRADIENTS], sums[step_sums.FINITE_STEPS] = 1, np.float64(3)
    with pytest.raises(
        DivergenceError,
        match=(r"a gradient is not finite in epoch 2, at step 10, .* 0\.5, on the images a, b;"),
    ):
        DivergenceDetector(6, lambda step: 0.5, lambda step: ["a", "b"]).check_steps(1, sums)


def test_the_steps_count_gradients_that_are_not_finite_and_the_finite_steps_before():
    from imgcls.backend import keras, tf
    from imgcls.input.batches import Examples, SequentialBatches
    from imgcls.input.in_memory_iterator import InMemoryIterator
    from imgcls.models._dropout import register_rows
    from imgcls.training import step_sums, steps
    from imgcls.training.build import StepLearningRate

    images = keras.Input((2, 2, 1), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(images))
    # The root of 0 is 0, and its slope is infinite: the loss is finite on a black image, the
    # gradient is not.
    model = keras.Model(
        images, keras.layers.Dense(2, kernel_initializer="ones", activation=keras.ops.sqrt)(flat)
    )
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    optimizer = keras.optimizers.SGD(0.0)
    optimizer.build(model.trainable_variables)
    pixels = numpy.full((3, 2, 2, 1), 9, numpy.uint8)
    pixels[2] = 0
    iterator = InMemoryIterator(
        SequentialBatches(
            Examples(as_they_are(pixels), numpy.array([0, 1, 0], numpy.int32), numpy.arange(3)), 1
        ),
        strategy,
    )
    sums = steps.Steps(
        strategy, register_rows(model), optimizer, StepLearningRate(), cross_entropy
    ).train(iterator, 0, numpy.zeros(3), step_sums.make_zeros())
    assert numpy.isfinite(sums[step_sums.LOSS])
    assert sums[step_sums.NONFINITE_GRADIENTS] > 0
    assert sums[step_sums.FINITE_STEPS] == 2


def test_an_overflow_on_one_replica_alone_skips_the_step_on_both_and_halves_the_loss_scale():
    """The scaled gradient overflows on the second replica, whose image is white, and not on the
    first, whose image is black.
    """
    from imgcls.backend import keras
    from imgcls.distributed.cluster import SINGLE_PROCESS
    from imgcls.input.batches import Examples, SequentialBatches
    from imgcls.input.in_memory_iterator import InMemoryIterator
    from imgcls.models._dropout import register_rows
    from imgcls.strategies import mirrored
    from imgcls.training import step_sums, steps
    from imgcls.training.build import StepLearningRate

    strategy = mirrored.build(mirrored.Settings(name="mirrored", replicas=2), SINGLE_PROCESS)
    with strategy.scope():
        images = keras.Input((2, 2, 1), dtype="uint8")
        flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(images))
        model = keras.Model(images, keras.layers.Dense(2, kernel_initializer="zeros")(flat))
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(1e-6), initial_scale=2.0**127
        )
        optimizer.build(model.trainable_variables)
    pixels = numpy.zeros((2, 2, 2, 1), numpy.uint8)
    pixels[1] = 255
    iterator = InMemoryIterator(
        SequentialBatches(
            Examples(as_they_are(pixels), numpy.array([0, 1], numpy.int32), numpy.arange(2)), 2
        ),
        strategy,
    )
    compiled = steps.Steps(
        strategy, register_rows(model), optimizer, StepLearningRate(), cross_entropy
    )

    compiled.train(iterator, 0, numpy.full(1, 1e-6), step_sums.make_zeros())
    assert not any(weight.any() for weight in model.get_weights())
    assert float(optimizer.dynamic_scale.value.numpy()) == 2.0**126
    compiled.train(iterator, 1, numpy.full(20, 1e-6), step_sums.make_zeros())
    assert all(numpy.isfinite(weight).all() for weight in model.get_weights())
    assert model.get_weights()[0].any()
    assert float(optimizer.dynamic_scale.value.numpy()) <= 2.0**122


def test_steps_that_the_loss_scale_skips_change_no_weight_and_use_up_their_learning_rate(
    digits, monkeypatch
):
    """The scale starts at 2^30, and is halved for more than an epoch of six steps until the
    gradients fit into float16.
    """
    from imgcls.backend import keras

    class HighScale(keras.optimizers.LossScaleOptimizer):
        def __init__(self, optimizer):
            super().__init__(optimizer, initial_scale=2.0**30)

    shared = ("train.precision=mixed_float16", "model.dropout=0", "train.epochs=4")
    train.train(digits(*shared, f"train.optimizer={SGD % 1e-30}"), Path("untrained"))
    monkeypatch.setattr(keras.optimizers, "LossScaleOptimizer", HighScale)
    train.train(digits(*shared, "train.schedule={name: cosine}"), Path("run"))

    log, untrained = Run(Path("run")).log, Run(Path("untrained")).log[0]
    with numpy.load(Run(Path("run")).state_files()[0]) as state:
        (index,) = [
            number
            for number, path in enumerate(json.loads(state["header"].tobytes())["paths"])
            if path.endswith("dynamic_scale")
        ]
        skipped = round(numpy.log2(2.0**30 / state[f"{index:05d}"]))
    assert 6 <= skipped < 18
    last_steps = numpy.array([epoch.step - 1 for epoch in log])
    rates = 1e-3 * (1 + numpy.cos(numpy.pi * last_steps / 24)) / 2
    numpy.testing.assert_allclose([epoch.learning_rate for epoch in log], rates, rtol=1e-12)
    for name in ("loss", "val_loss"):
        assert getattr(log[0], name) == pytest.approx(getattr(untrained, name), rel=1e-6)
        assert getattr(log[-1], name) < 0.99 * getattr(untrained, name)


def test_a_run_that_diverged_continues_from_its_checkpoint_with_a_lower_rate(digits, capsys):
    retry = "train.on_divergence={retries: 1, learning_rate_factor: 1.0e-21}"
    train.train(digits(f"train.optimizer={SGD % 1e20}", retry), Path("retried"))
    train.train(digits(f"train.optimizer={SGD % 0.1}"), Path("plain"))
    retried, plain = Run(Path("retried")), Run(Path("plain"))
    assert (
        "going back to step 0 with 1e-21 times the learning rate (retry 1 of 1)"
        in capsys.readouterr().err
    )
    assert [(entry.step, entry.learning_rate_factor) for entry in retried.status.retries] == [
        (2, pytest.approx(1e-21))
    ]
    assert retried.log[-1].learning_rate == pytest.approx(0.1)
    assert retried.log[-1].loss == pytest.approx(plain.log[-1].loss, rel=1e-4)


def test_retries_that_do_not_help_end_with_exit_code_4_and_are_not_repeated(digits):
    settings = digits(
        f"train.optimizer={SGD % 1e20}",
        "train.on_divergence={retries: 2, learning_rate_factor: 0.5}",
    )
    for _ in range(2):
        with pytest.raises(DivergenceError, match=r"with a learning rate of 2\.5e\+19"):
            train.train(settings, Path("run"))
        status = Run(Path("run")).status
        assert (status.status, status.exit_code, len(status.retries)) == ("failed", 4, 2)


@pytest.mark.parametrize("bad", [numpy.nan, numpy.inf, -numpy.inf])
def test_the_first_variable_with_a_value_that_is_not_finite_is_named(bad):
    from imgcls.backend import keras
    from imgcls.training.divergence import DivergenceDetector

    seed = keras.Variable(numpy.array([3, 4], numpy.uint32), dtype="uint32", name="seed")
    weights = [keras.Variable(numpy.ones((2, 3)), name=name) for name in "abc"]
    detector = DivergenceDetector(6, lambda step: 0.5, lambda step: [])
    detector.check_weights([seed, *weights], 7)
    for weight in weights[1:]:
        weight.assign(numpy.array([[1, 1, 1], [1, 1, bad]]))
    with pytest.raises(DivergenceError, match=r"^b is no longer finite after step 7"):
        detector.check_weights([seed, *weights], 7)


def test_weights_that_are_not_finite_are_not_saved(digits):
    settings = digits(
        f"train.optimizer={SGD % 1e30}",
        "train.epochs=1",
        "train.batch_size=2000",
        "train.select_weights=last",
    )
    with pytest.raises(DivergenceError, match=r"(is no longer finite|loss became)"):
        train.train(settings, Path("run"))
    assert [path.name for path in Run(Path("run")).state_files()] == ["state-0.npz"]
    assert Run(Path("run")).log == []
