"""The order of an epoch: every image once, sampled by class or weight, or repeated in a batch."""

import numpy
import pytest
from experiments import as_they_are, experiment, source_of, stored

from imgcls.datasets import Entry
from imgcls.errors import UserError
from imgcls.input import sampler
from imgcls.input.batches import Examples, ShuffledBatches, make_examples
from imgcls.split import assign

LABELS = numpy.repeat(numpy.arange(4, dtype=numpy.int32), [100, 60, 30, 10])


def make_sampler(tmp_path, *overrides, labels=LABELS, weights=None):
    return sampler.make_sampler(
        experiment(tmp_path, *overrides), labels, numpy.arange(len(labels)), weights
    )


def test_sampling_by_class_balances_the_classes_and_uses_their_images_evenly(
    tmp_path,
):
    sample = make_sampler(tmp_path, "train.sampling={by: class}")
    for epoch in range(5):
        counts = numpy.bincount(sample(epoch), minlength=200)
        assert counts.sum() == 200
        assert numpy.bincount(LABELS, weights=counts).tolist() == [50, 50, 50, 50]
        for label, size in enumerate([100, 60, 30, 10]):
            assert set(counts[label == LABELS]) <= {int(50 / size), int(numpy.ceil(50 / size))}


def test_over_many_epochs_an_image_is_sampled_as_often_as_expected(tmp_path):
    sample = make_sampler(tmp_path, "train.sampling={by: class, power: 0.5}")
    counts = sum(numpy.bincount(sample(epoch), minlength=200) for epoch in range(400)) / 400
    sizes = numpy.bincount(LABELS)[LABELS]
    expected = sizes**-0.5 / (sizes**-0.5).sum() * 200
    assert numpy.abs(counts - expected).max() < 6 * numpy.sqrt(0.25 / 400)


def test_sampling_by_weight_follows_the_weights_of_the_split(tmp_path):
    weights = numpy.float32([0, 1, 2, 3, 4, 100])
    indices = numpy.array([0, 1, 2, 3, 4])
    settings = experiment(tmp_path, "train.sampling={by: weight}")
    sample = sampler.make_sampler(settings, numpy.zeros(6, numpy.int32), indices, weights)
    counts = sum(numpy.bincount(sample(epoch), minlength=5) for epoch in range(1000)) / 1000
    numpy.testing.assert_allclose(counts, [0, 0.5, 1, 1.5, 2], atol=0.08)


def test_the_weights_of_the_store_reach_the_training_split(tmp_path):
    entries = [
        Entry(str(index), index % 2, "train" if index < 6 else "test", weight=float(index))
        for index in range(8)
    ]
    store = stored(
        tmp_path / "data", source_of(numpy.zeros((8, 2, 2, 1), numpy.uint8), entries, ["a", "b"])
    )
    settings = experiment(
        tmp_path, "train.sampling={by: weight}", "train.batch_size=5", "data.validation=0"
    )
    split = assign.assign_splits(store, settings.data, 0)
    batches = ShuffledBatches(make_examples(store, split, "train"), settings)
    sampled = [
        position for epoch in range(300) for position in batches.compute_positions(2 * epoch)[0]
    ]
    counts = numpy.bincount(sampled, minlength=6) / len(sampled)
    numpy.testing.assert_allclose(counts, numpy.arange(6) / 15, atol=0.03)


def test_a_data_set_without_weights_cannot_be_sampled_by_them(tmp_path):
    with pytest.raises(UserError, match=r"no weights; set train\.sampling\.by: class, or"):
        make_sampler(tmp_path, "train.sampling={by: weight}")


@pytest.mark.parametrize(
    "override", [(), ("train.sampling={by: class}",)], ids=["each once", "by class"]
)
def test_the_order_depends_on_seed_and_epoch_alone(tmp_path, override):
    one, again, other = (
        make_sampler(tmp_path, *override),
        make_sampler(tmp_path, *override),
        make_sampler(tmp_path, "seed=1", *override),
    )
    numpy.testing.assert_array_equal(one(7), again(7))
    assert (one(7) != one(8)).any()
    assert (one(7) != other(7)).any()


def make_batches(tmp_path, *overrides):
    examples = Examples(
        as_they_are(numpy.zeros((200, 2, 2, 1), numpy.uint8)), LABELS, numpy.arange(200)
    )
    return ShuffledBatches(examples, experiment(tmp_path, "train.batch_size=24", *overrides))


def test_a_batch_repeats_each_of_its_images_and_as_many_epochs_show_all(tmp_path):
    repeated = make_batches(tmp_path, "train.augmentation_repeats=3")
    assert repeated.steps_per_epoch == make_batches(tmp_path).steps_per_epoch
    seen = []
    for epoch in range(3):
        for step in range(repeated.steps_per_epoch - 1):
            positions, _ = repeated.compute_positions(epoch * repeated.steps_per_epoch + step)
            assert set(numpy.unique(positions, return_counts=True)[1]) == {3}
            assert (positions[::2] != positions[1::2]).all()  # the pairs that mixup mixes
        seen += [
            each
            for step in range(repeated.steps_per_epoch)
            for each in repeated.compute_positions(epoch * repeated.steps_per_epoch + step)[0]
        ]
    assert set(seen) == set(range(200))


def test_repeats_must_divide_the_batch(tmp_path):
    with pytest.raises(UserError, match="augmentation_repeats is 5, but batch_size is 24"):
        make_batches(tmp_path, "train.augmentation_repeats=5")
