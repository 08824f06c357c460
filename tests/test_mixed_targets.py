"""Training on mixed images: the loss takes a target per class, in micro-batches too."""

import numpy
import pytest
from experiments import as_they_are, cross_entropy, experiment

from imgcls.backend import keras, tf
from imgcls.input.batches import Examples, ShuffledBatches
from imgcls.input.in_memory_iterator import InMemoryIterator
from imgcls.models._dropout import register_rows
from imgcls.training import step_sums, steps
from imgcls.training.build import StepLearningRate


@pytest.mark.parametrize("accumulation_steps", [1, 2])
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_step_on_mixed_images_minimizes_keras_categorical_cross_entropy(
    tmp_path, name, accumulation_steps
):
    generator = numpy.random.default_rng(0)
    pixels, labels = (
        generator.integers(0, 256, (8, 6, 6, 1), numpy.uint8),
        numpy.arange(8, dtype=numpy.int32) % 3,
    )
    settings = experiment(
        tmp_path, f"augment=[{{name: {name}, alpha: 1.0, probability: 1.0}}]", "train.batch_size=8"
    )
    plan = ShuffledBatches(
        Examples(as_they_are(pixels), labels, numpy.arange(8)), settings, classes=3
    )
    order, _ = plan.compute_positions(0)
    start = tf.constant(0, tf.int64)
    images, targets = plan.prepare_inputs(
        tf.constant(pixels[order]), tf.constant(labels[order]), start, start
    )
    assert ((targets > 0) & (targets < 1)).numpy().any()

    inputs = keras.Input((6, 6, 1), dtype="uint8")
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs)))
    model, optimizer = keras.Model(inputs, logits), keras.optimizers.SGD(1.0)
    optimizer.build(model.trainable_variables)
    register_rows(model)
    with tf.GradientTape() as tape:
        outputs = model(images)
        expected = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, outputs)
    updated = [
        value - gradient
        for value, gradient in zip(
            model.get_weights(), tape.gradient(expected, model.trainable_variables), strict=True
        )
    ]

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    compiled = steps.Steps(
        strategy, model, optimizer, StepLearningRate(), cross_entropy, accumulation_steps
    )
    iterator = InMemoryIterator(plan, strategy)
    sums = compiled.train(iterator, 0, numpy.ones(1), step_sums.make_zeros())
    assert sums[step_sums.LOSS] / sums[step_sums.COUNT] == pytest.approx(float(expected), rel=1e-5)
    assert (
        sums[step_sums.CORRECT]
        == (outputs.numpy().argmax(axis=1) == targets.numpy().argmax(axis=1)).sum()
    )
    for value, expected_value in zip(model.get_weights(), updated, strict=True):
        numpy.testing.assert_allclose(value, expected_value, atol=1e-5)
