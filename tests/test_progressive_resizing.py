"""Training on smaller images first, with layers that all sizes share."""

import signal
from pathlib import Path

import numpy
import pytest
from experiments import MIRRORED, SGD, assert_same_result
from test_freezing import make_trainer

from imgcls.durations import parse_duration
from imgcls.errors import Interrupted, UserError
from imgcls.io.signals import StopRequest
from imgcls.phase_settings import ProgressiveResizing
from imgcls.run import Run
from imgcls.train_config import Train
from imgcls.verbs import train

MODEL = "model={name: speed, filters: [4, 8], stem_kernel_size: 2, stem_stride: 1}"
SETTINGS = (
    *(MODEL, "train.steps_per_execution=4", "train.checkpoint=null"),
    "augment=[{name: random_crop, padding: 1}]",
    "train.progressive_resizing={initial_scale: 0.5, until: 7 steps}",
)
"""On digits of 8x8 pixels: 4x4 until about half of the 7 steps, then 8x8."""


@pytest.mark.parametrize("size", [(4, 4), (8, 6), (16, 16), (5, 7)])
def test_images_are_resized_as_pillow_interpolates(size):
    """To the same or larger sizes: when it shrinks, Pillow averages more pixels."""
    from PIL import Image

    from imgcls.backend import tf
    from imgcls.training.resized_model import resize_images

    images = numpy.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), numpy.uint8)
    result = resize_images(tf.constant(images), size)
    assert result.dtype == tf.uint8
    for image, resized in zip(images[..., 0], result.numpy()[..., 0], strict=True):
        expected = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
        error = numpy.abs(resized.astype(int) - numpy.asarray(expected).astype(int))
        assert error.max() <= 1  # of rounding


def test_half_the_size_is_the_mean_of_2x2_pixels():
    from imgcls.backend import tf
    from imgcls.training.resized_model import resize_images

    images = numpy.random.default_rng(0).integers(0, 256, (2, 8, 6, 3), numpy.uint8)
    means = images.reshape(2, 4, 2, 3, 2, 3).mean(axis=(2, 4))
    resized = resize_images(tf.constant(images), (4, 3)).numpy()
    numpy.testing.assert_array_equal(resized, numpy.round(means).astype(numpy.uint8))


def test_each_operation_of_resizing_has_a_gpu_kernel():
    import gpu_graph

    from imgcls.backend import tf
    from imgcls.training.resized_model import resize_images

    def resize_on_gpu(images):
        with tf.device("GPU:0"):
            return resize_images(images, (4, 4))

    signature = [tf.TensorSpec([2, 8, 8, 3], tf.uint8)]
    traced = tf.function(resize_on_gpu, input_signature=signature).get_concrete_function()
    assert gpu_graph.Graph(traced).find_nodes_without_kernel() == []


@pytest.mark.parametrize(
    ("full", "scale", "sizes"),
    [
        ((224, 224), 0.5, {0: 112, 100: 140, 200: 168, 300: 196, 400: 224}),
        ((32, 32), 0.5, {0: 16, 100: 20, 200: 24, 300: 28, 400: 32}),
        ((8, 8), 0.5, {0: 4, 100: 4, 200: 8}),
        ((28, 28), 0.25, {0: 8, 100: 12, 200: 16, 300: 24, 400: 28}),
    ],
)
def test_sizes_grow_in_multiples_of_4_to_the_full_one(full, scale, sizes):
    from imgcls.training.phases import _plan_sizes

    resizing = ProgressiveResizing(initial_scale=scale, until=parse_duration("400 steps"))
    planned = _plan_sizes(Train(progressive_resizing=resizing), full, 1000, 100)
    assert max(planned.values()) == full
    expanded = {
        step: planned[max(start for start in planned if start <= step)][0] for step in sizes
    }
    assert expanded == sizes


@pytest.mark.parametrize(("scale", "until"), [(0.9, "400 steps"), (0.5, "1 step")])
def test_a_resizing_that_has_no_smaller_images_is_refused(scale, until):
    from imgcls.training.phases import _plan_sizes

    resizing = ProgressiveResizing(initial_scale=scale, until=parse_duration(until))
    message = f"trains on no smaller images: with initial_scale {scale}, .* until {until}"
    with pytest.raises(UserError, match=message):
        _plan_sizes(Train(progressive_resizing=resizing), (8, 8), 1000, 100)


def test_the_first_step_is_that_of_a_model_on_smaller_images(digits):
    """The oracle: a step of SGD by Keras, on the batch resized by numpy."""
    from imgcls.backend import keras, tf
    from imgcls.training.resized_model import share_layers

    settings = (
        *(MODEL, "train.batch_size=1294", "train.epochs=2", f"train.optimizer={SGD % 0.1}"),
        "train.progressive_resizing={initial_scale: 0.5, until: 2 steps}",
    )
    trainer, other = (make_trainer(digits(*settings), name) for name in ("own", "oracle"))
    next(trainer.train_epochs(StopRequest()))
    positions, _ = other._batches.compute_positions(0)
    images, labels = other._examples.read(positions)
    trainer.close()
    other.close()
    small = numpy.round(images.reshape(-1, 4, 2, 4, 2, 1).mean(axis=(2, 4))).astype(numpy.uint8)
    model = share_layers(other.model, (4, 4))
    with tf.GradientTape() as tape:
        logits = model(small, training=True, step=tf.constant(0), first_row=tf.constant(0))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    variables = other.model.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(0.1 * 1.9 * gradient)  # Nesterov momentum of 0.9 at the first step
    for one, expected in zip(trainer.model.variables, other.model.variables, strict=True):
        numpy.testing.assert_allclose(one.numpy(), expected.numpy(), rtol=2e-4, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("step", [3, 5])
def test_a_run_interrupted_around_a_boundary_ends_with_the_same_bits(digits, step, monkeypatch):
    from imgcls.training.state import TrainingState

    settings = digits(*SETTINGS, "train.freeze=[{depth: 1, until: 5 steps}]")
    train.train(settings, Path("whole"))
    stop_or_save = TrainingState.stop_or_save

    def stop_after_step(self, stop, epoch_end):
        if self.counters.step >= step:
            stop.signal = signal.SIGTERM
        stop_or_save(self, stop, epoch_end)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "stop_or_save", stop_after_step)
        with pytest.raises(Interrupted):
            train.train(settings, Path("parts"))
    train.train(settings, Path("parts"))
    assert_same_result(Run(Path("whole")), Run(Path("parts")))


def test_sizes_are_printed_and_logged_and_the_model_takes_full_images(digits, capsys):
    from imgcls.backend import keras

    train.train(digits(*SETTINGS, MIRRORED), Path("run"))
    notes = [line for line in capsys.readouterr().err.splitlines() if " pixels; " in line]
    assert [note.partition(" pixels; ")[0] for note in notes] == [
        "note: steps 1 to 4 of 12: images of 4x4",
        "note: steps 5 to 12 of 12: images of 8x8",
    ]
    assert [epoch.image_size for epoch in Run(Path("run")).log] == [[8, 8], [8, 8]]
    model = keras.models.load_model(Run(Path("run")).model_file)
    assert model.input_shape == (None, 8, 8, 1)


def test_a_model_that_flattens_is_refused_by_the_layer_that_needs_a_fixed_size(digits):
    with pytest.raises(UserError, match=r"layer dense_1 of the model takes images of 8x8 pixels"):
        train.train(digits("train.progressive_resizing={initial_scale: 0.5}"), Path("run"))


def test_a_duration_longer_than_the_training_is_refused(digits):
    with pytest.raises(UserError, match=r"resizing\.until is 13 steps, but the training has 12"):
        train.train(digits(*SETTINGS, "train.progressive_resizing.until=13 steps"), Path("run"))
