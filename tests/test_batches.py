"""Batches as pure functions of (seed, step, row)."""

from contextlib import closing

import numpy
import pytest
from experiments import as_they_are, cross_entropy, experiment

from imgcls import parts
from imgcls.backend import keras, tf
from imgcls.distributed.cluster import SINGLE_PROCESS
from imgcls.errors import DataError
from imgcls.input.batches import (
    Examples,
    SequentialBatches,
    ShuffledBatches,
    compute_batch_positions,
)
from imgcls.input.iterators import make_iterator
from imgcls.input.sampler import shuffle_epoch
from imgcls.seeds import derive_seed
from imgcls.training import history, steps
from imgcls.training.build import StepLearningRate

COUNT, BATCH = 22, 8
PLACEMENTS = ("store", "host", "devices")
AUGMENTED = "augment=[{name: random_crop, padding: 1}, {name: random_flip}]"


@pytest.fixture
def examples():
    """22 examples out of 30 images; image i shows i in every pixel."""
    images = numpy.broadcast_to(
        numpy.arange(30, dtype=numpy.uint8)[:, None, None, None], (30, 4, 4, 1)
    )
    return Examples(as_they_are(images), numpy.arange(30, dtype=numpy.int32), numpy.arange(4, 26))


@pytest.fixture
def settings(tmp_path):
    return experiment(tmp_path, f"train.batch_size={BATCH}")


def make_strategy(replicas):
    if replicas == 1:
        return tf.distribute.OneDeviceStrategy("CPU:0")
    from imgcls.strategies import mirrored

    return mirrored.build(mirrored.Settings(name="mirrored", replicas=replicas), SINGLE_PROCESS)


def collect_batches(placement, plan, start, stop, replicas=1):
    """Return the global batches of steps start, ..., stop - 1, joined over the replicas."""
    devices = make_strategy(replicas)
    stages = dict.fromkeys(history.STAGES, 0.0)

    @tf.function
    def run_one_step(inputs):
        distributed = iterator.distribute_inputs(inputs)
        nothing = tf.zeros([], tf.float64)
        replica_inputs = iterator.make_replica_inputs(distributed, tf.constant(0), nothing)
        return devices.run(iterator.make_local_batch, args=replica_inputs)

    def join(distributed):
        local = devices.experimental_local_results(distributed)
        return numpy.concatenate([each.numpy() for each in local])

    with closing(make_iterator(placement, plan, devices, start, stages)) as iterator:
        return [
            tuple(join(each) for each in run_one_step(iterator.make_execution_inputs(step, 1)))
            for step in range(start, stop)
        ]


def test_an_epoch_holds_every_example_once_and_is_padded_with_weight_0(settings, examples):
    batches = collect_batches("store", ShuffledBatches(examples, settings), 0, 3)
    labels = numpy.concatenate([labels[weights > 0] for _, labels, weights in batches])
    assert sorted(labels) == list(range(4, 26))
    assert [int((weights > 0).sum()) for _, _, weights in batches] == [8, 8, 6]


@pytest.mark.parametrize("replicas", [1, 2])
def test_weights_add_up_to_1_over_a_global_batch(settings, examples, replicas):
    for _, _, weights in collect_batches(
        "store", ShuffledBatches(examples, settings), 0, 3, replicas
    ):
        assert weights.sum() == pytest.approx(1.0)


def test_padding_rows_hold_real_images(settings, examples):
    images, labels, weights = collect_batches("store", ShuffledBatches(examples, settings), 2, 3)[0]
    assert (weights == 0).sum() == 2
    assert set(labels) <= set(range(4, 26))
    assert (images[:, 0, 0, 0] == labels).all()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_starting_at_a_step_gives_the_same_batches_as_running_up_to_it(
    tmp_path, examples, placement
):
    plan = ShuffledBatches(examples, experiment(tmp_path, f"train.batch_size={BATCH}", AUGMENTED))
    whole = collect_batches(placement, plan, 0, 9)
    for start in (1, 3, 5):
        for expected, found in zip(
            whole[start:], collect_batches(placement, plan, start, 9), strict=True
        ):
            for one, other in zip(expected, found, strict=True):
                numpy.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("placement", "replicas"), [(placement, n) for n in (1, 2) for placement in PLACEMENTS][1:]
)
def test_any_iterator_and_number_of_replicas_gives_the_same_global_batches(
    tmp_path, examples, placement, replicas
):
    plan = ShuffledBatches(examples, experiment(tmp_path, f"train.batch_size={BATCH}", AUGMENTED))
    for one, other in zip(
        collect_batches("store", plan, 0, 5),
        collect_batches(placement, plan, 0, 5, replicas),
        strict=True,
    ):
        for tensor, other_tensor in zip(one, other, strict=True):
            numpy.testing.assert_array_equal(tensor, other_tensor)


@pytest.mark.parametrize("settings", parts.make_all_default_settings("augmentations"))
def test_augmented_images_and_targets_are_the_same_bits_wherever_they_are_made(tmp_path, settings):
    """In the step, or in tf.data beside it, which is what a GPU gets; on one device or two."""
    pixels = numpy.random.default_rng(0).integers(0, 256, (16, 6, 6, 3), numpy.uint8)
    labels = numpy.arange(16, dtype=numpy.int32)
    examples = Examples(as_they_are(pixels), labels, numpy.arange(16))
    chosen = experiment(
        tmp_path, f"train.batch_size={BATCH}", f"augment=[{{name: {settings.name}}}]"
    )
    plan = ShuffledBatches(examples, chosen)
    in_step = collect_batches("devices", plan, 0, 2)
    for placement, replicas in (("host", 1), ("store", 2)):
        for one, other in zip(
            in_step, collect_batches(placement, plan, 0, 2, replicas), strict=True
        ):
            for tensor, other_tensor in zip(one, other, strict=True):
                assert tensor.dtype == other_tensor.dtype
                numpy.testing.assert_array_equal(tensor, other_tensor)


def test_a_step_a_million_ahead_is_reached_at_once(settings, examples):
    [(_, labels, _)] = collect_batches(
        "store", ShuffledBatches(examples, settings), 1_000_000, 1_000_001
    )
    epoch, step = divmod(1_000_000, 3)
    order = shuffle_epoch(COUNT, derive_seed(0, "order"), epoch)
    numpy.testing.assert_array_equal(
        labels, 4 + order[compute_batch_positions(COUNT, BATCH, step)[0]]
    )


def test_epochs_and_seeds_differ_in_order():
    orders = [shuffle_epoch(1000, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(1000))
    for i, one in enumerate(orders):
        for other in orders[i + 1 :]:
            assert abs(numpy.corrcoef(one, other)[0, 1]) < 0.15


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_sequential_batches_pass_over_the_split_again_and_again(examples, placement):
    batches = collect_batches(placement, SequentialBatches(examples, BATCH), 0, 6, replicas=2)
    labels = numpy.concatenate([labels[weights > 0] for _, labels, weights in batches])
    assert list(labels) == [*range(4, 26), *range(4, 26)]


@pytest.mark.parametrize(
    ("count", "batch_size", "step", "positions", "real"),
    [(5, 2, 0, [0, 1], 2), (5, 2, 2, [4, 0], 1), (1, 4, 0, [0] * 4, 1)],
)
def test_positions_past_the_end_wrap_to_the_start(count, batch_size, step, positions, real):
    found, weights = compute_batch_positions(count, batch_size, step)
    assert list(found) == positions
    assert list(weights) == [1 / real] * real + [0] * (batch_size - real)


def test_adding_an_augmentation_does_not_change_the_random_parameters_of_another(
    tmp_path, examples
):
    from imgcls.input.augment import preview

    images = numpy.random.default_rng(0).integers(0, 255, (BATCH, 6, 6, 1), numpy.uint8)
    flip_only = experiment(tmp_path, f"train.batch_size={BATCH}", "augment=[{name: random_flip}]")
    crop_and_flip = experiment(
        tmp_path,
        f"train.batch_size={BATCH}",
        "augment=[{name: random_crop, padding: 1, fill: nearest}, {name: random_flip}]",
    )
    gradients = (
        numpy.concatenate([images, images[:, :, ::-1]], axis=2) * 0
        + numpy.arange(12, dtype=numpy.uint8)[None, None, :, None]
    )
    flipped = preview(flip_only, gradients, 3)[:, 0, 5, 0] == 6
    flipped_after_crop = (
        numpy.diff(preview(crop_and_flip, gradients, 3)[:, 0, 4:7, 0].astype(int)).mean(axis=1) < 0
    )
    numpy.testing.assert_array_equal(flipped, flipped_after_crop)
    assert 0 < flipped.sum() < BATCH


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("error", [DataError("one line"), MemoryError(), StopIteration("a bug")])
def test_what_reading_raises_reaches_the_caller_as_it_is(examples, monkeypatch, error, replicas):
    """TensorFlow would make of it one of its own errors, of a type that means something else."""
    read = examples.reader.read

    def read_or_raise(indices):
        if 20 in indices:
            raise error
        return read(indices)

    monkeypatch.setattr(examples.reader, "read", read_or_raise)
    strategy = make_strategy(replicas)
    with strategy.scope():
        images = keras.Input((4, 4, 1), dtype="uint8")
        flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(images))
        model = keras.Model(images, keras.layers.Dense(30)(flat))
    batches, stages = SequentialBatches(examples, BATCH), dict.fromkeys(history.STAGES, 0.0)
    compiled = steps.Steps(strategy, model, None, StepLearningRate(), cross_entropy)
    with (
        closing(make_iterator("store", batches, strategy, 0, stages)) as iterator,
        pytest.raises(type(error)) as caught,
    ):
        compiled.evaluate(iterator, 3)
    assert caught.value is error
