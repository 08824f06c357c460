"""The order of an epoch: every image once, or drawn by class or weight, or several times in a
batch.
"""

import numpy
import pytest
from experiments import as_they_are, experiment, source_of, stored

from imgcls.datasets import Entry
from imgcls.errors import UserError
from imgcls.input import sampler
from imgcls.input.batches import Examples, ShuffledBatches, make_examples
from imgcls.split import assign

LABELS = numpy.repeat(numpy.arange(4, dtype=numpy.int32), [100, 60, 30, 10])


def order(tmp_path, *overrides, labels=LABELS, weights=None):
    return sampler.make_order(
        experiment(tmp_path, *overrides), labels, numpy.arange(len(labels)), weights
    )


def test_sampling_by_class_shows_every_class_equally_often_and_spreads_it_over_its_images(
    tmp_path,
):
    drawn = order(tmp_path, "train.sampling={by: class}")
    for epoch in range(5):
        counts = numpy.bincount(drawn(epoch), minlength=200)
        assert counts.sum() == 200
        assert numpy.bincount(LABELS, weights=counts).tolist() == [50, 50, 50, 50]
        for label, size in enumerate([100, 60, 30, 10]):
            assert set(counts[label == LABELS]) <= {int(50 / size), int(numpy.ceil(50 / size))}


def test_over_many_epochs_an_image_is_drawn_as_often_as_expected(tmp_path):
    drawn = order(tmp_path, "train.sampling={by: class, power: 0.5}")
    counts = sum(numpy.bincount(drawn(epoch), minlength=200) for epoch in range(400)) / 400
    sizes = numpy.bincount(LABELS)[LABELS]
    expected = sizes**-0.5 / (sizes**-0.5).sum() * 200
    assert numpy.abs(counts - expected).max() < 6 * numpy.sqrt(0.25 / 400)


def test_resampling_by_weight_follows_the_weights_of_the_split(tmp_path):
    weights = numpy.float32([0, 1, 2, 3, 4, 100])
    indices = numpy.array([0, 1, 2, 3, 4])
    settings = experiment(tmp_path, "train.sampling={by: weight}")
    drawn = sampler.make_order(settings, numpy.zeros(6, numpy.int32), indices, weights)
    counts = sum(numpy.bincount(drawn(epoch), minlength=5) for epoch in range(1000)) / 1000
    numpy.testing.assert_allclose(counts, [0, 0.5, 1, 1.5, 2], atol=0.08)


def test_the_weights_of_the_store_reach_the_training_split(tmp_path):
    entries = [
        Entry(str(place), place % 2, "train" if place < 6 else "test", weight=float(place))
        for place in range(8)
    ]
    store = stored(
        tmp_path / "data", source_of(numpy.zeros((8, 2, 2, 1), numpy.uint8), entries, ["a", "b"])
    )
    settings = experiment(
        tmp_path, "train.sampling={by: weight}", "train.batch_size=5", "data.validation=0"
    )
    split = assign.assign_splits(store, settings.data, 0)
    plan = ShuffledBatches(make_examples(store, split, "train"), settings)
    drawn = [position for epoch in range(300) for position in plan.positions(2 * epoch)[0]]
    counts = numpy.bincount(drawn, minlength=6) / len(drawn)
    numpy.testing.assert_allclose(counts, numpy.arange(6) / 15, atol=0.03)


def test_a_data_set_without_weights_cannot_be_drawn_by_them(tmp_path):
    with pytest.raises(
        UserError, match="this data set has no weights; set by: class, or remove it"
    ):
        order(tmp_path, "train.sampling={by: weight}")


@pytest.mark.parametrize(
    "override", [(), ("train.sampling={by: class}",)], ids=["each once", "by class"]
)
def test_an_epochs_order_is_known_by_seed_and_epoch_alone(tmp_path, override):
    one, again, other = (
        order(tmp_path, *override),
        order(tmp_path, *override),
        order(tmp_path, "seed=1", *override),
    )
    numpy.testing.assert_array_equal(one(7), again(7))
    assert (one(7) != one(8)).any()
    assert (one(7) != other(7)).any()


def plan(tmp_path, *overrides):
    examples = Examples(
        as_they_are(numpy.zeros((200, 2, 2, 1), numpy.uint8)), LABELS, numpy.arange(200)
    )
    return ShuffledBatches(examples, experiment(tmp_path, "train.batch_size=24", *overrides))


def test_repeats_put_each_image_so_often_into_a_batch_and_so_many_epochs_show_all(tmp_path):
    repeated = plan(tmp_path, "train.augmentation_repeats=3")
    assert repeated.steps == plan(tmp_path).steps
    seen = []
    for epoch in range(3):
        for step in range(repeated.steps - 1):
            positions, _ = repeated.positions(epoch * repeated.steps + step)
            assert set(numpy.unique(positions, return_counts=True)[1]) == {3}
            assert (
                positions[::2] != positions[1::2]
            ).all()  # pairs, which mixing parts mix, hold two images
        seen += [
            each
            for step in range(repeated.steps)
            for each in repeated.positions(epoch * repeated.steps + step)[0]
        ]
    assert set(seen) == set(range(200))


def test_repeats_must_divide_the_batch(tmp_path):
    with pytest.raises(UserError, match="repeats is 5, batch_size is 24"):
        plan(tmp_path, "train.augmentation_repeats=5")
