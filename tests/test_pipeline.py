"""Batches as pure functions of (seed, step, row)."""

import numpy
import pytest
from experiments import experiment

from imgcls.pipeline import Examples, batch_positions, epoch_order, ordered_batches, training_batches

COUNT, BATCH = 22, 8


@pytest.fixture
def examples():
    """22 examples out of 30 images; image i shows i in every pixel."""
    images = numpy.broadcast_to(numpy.arange(30, dtype=numpy.uint8)[:, None, None, None], (30, 4, 4, 1))
    return Examples(images, numpy.arange(30, dtype=numpy.int32), numpy.arange(4, 26))


@pytest.fixture
def settings(tmp_path):
    return experiment(tmp_path, f"train.batch_size={BATCH}")


def collect(batches):
    return [tuple(array.numpy() for array in batch) for batch in batches]


def test_an_epoch_meets_every_example_once_and_fills_up_with_weight_0(settings, examples):
    batches = collect(training_batches(settings, examples, 0, 3, replicas=1))
    labels = numpy.concatenate([labels[weights > 0] for _, labels, weights in batches])
    assert sorted(labels) == list(range(4, 26))
    assert [int((weights > 0).sum()) for _, _, weights in batches] == [8, 8, 6]


def test_weights_add_up_to_1_over_a_global_batch(settings, examples):
    for replicas in (1, 2, 4):
        weights = numpy.stack([weights for _, _, weights in collect(training_batches(settings, examples, 0, 3, replicas))])
        numpy.testing.assert_allclose(weights.reshape(3, -1).sum(axis=1), 1.0, rtol=1e-6)


def test_rows_that_fill_up_hold_real_images(settings, examples):
    images, labels, weights = collect(training_batches(settings, examples, 2, 3, replicas=1))[0]
    assert (weights == 0).sum() == 2
    assert set(labels) <= set(range(4, 26))
    assert (images[:, 0, 0, 0] == labels).all()


def test_starting_at_a_step_gives_the_same_batches_as_counting_up_to_it(tmp_path, examples):
    settings = experiment(tmp_path, f"train.batch_size={BATCH}", "augment=[{name: crop, padding: 1}, {name: flip}]")
    whole = collect(training_batches(settings, examples, 0, 9, replicas=1))
    for start in (1, 3, 5):
        for counted, sought in zip(whole[start:], collect(training_batches(settings, examples, start, 9, replicas=1)), strict=True):
            for one, other in zip(counted, sought, strict=True):
                numpy.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("replicas", [2, 4])
def test_any_number_of_replicas_sees_the_same_global_batches(tmp_path, examples, replicas):
    settings = experiment(tmp_path, f"train.batch_size={BATCH}", "augment=[{name: crop, padding: 1}, {name: flip}]")
    whole = collect(training_batches(settings, examples, 0, 5, replicas=1))
    shared = collect(training_batches(settings, examples, 0, 5, replicas))
    for step in range(5):
        for part in range(3):
            joined = numpy.concatenate([batch[part] for batch in shared[step * replicas : (step + 1) * replicas]])
            numpy.testing.assert_array_equal(joined, whole[step][part])


def test_epochs_differ_in_order_and_seeds_do_too():
    orders = [epoch_order(1000, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(1000))
    for i, one in enumerate(orders):
        for other in orders[i + 1 :]:
            assert abs(numpy.corrcoef(one, other)[0, 1]) < 0.15


def test_ordered_batches_pass_over_the_split_again_and_again(examples):
    batches = collect(ordered_batches(examples, BATCH, replicas=2).take(12))
    labels = numpy.concatenate([labels[weights > 0] for _, labels, weights in batches])
    assert list(labels) == [*range(4, 26), *range(4, 26)]


@pytest.mark.parametrize(
    ("count", "batch_size", "step", "positions", "real"), [(5, 2, 0, [0, 1], 2), (5, 2, 2, [4, 0], 1), (1, 4, 0, [0] * 4, 1)]
)
def test_positions_past_the_end_wrap_to_the_start(count, batch_size, step, positions, real):
    found, weights = batch_positions(count, batch_size, step)
    assert list(found) == positions
    assert list(weights) == [1 / real] * real + [0] * (batch_size - real)


def test_adding_an_augmentation_does_not_change_the_draws_of_another(tmp_path, examples):
    from imgcls.augment import augmented

    images = numpy.random.default_rng(0).integers(0, 255, (BATCH, 6, 6, 1), numpy.uint8)
    flip_only = experiment(tmp_path, f"train.batch_size={BATCH}", "augment=[{name: flip}]")
    after_nothing = experiment(tmp_path, f"train.batch_size={BATCH}", "augment=[{name: crop, padding: 1, fill: edge}, {name: flip}]")
    symmetric = numpy.concatenate([images, images[:, :, ::-1]], axis=2) * 0 + numpy.arange(12, dtype=numpy.uint8)[None, None, :, None]
    flipped = augmented(flip_only, symmetric, 3)[:, 0, 5, 0] == 6
    flipped_after_crop = numpy.diff(augmented(after_nothing, symmetric, 3)[:, 0, 4:7, 0].astype(int)).mean(axis=1) < 0
    numpy.testing.assert_array_equal(flipped, flipped_after_crop)
    assert 0 < flipped.sum() < BATCH
