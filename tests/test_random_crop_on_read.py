"""Windows that are cut on reading: what augmentation would show, from stored images larger than
what the model sees.
"""

import os
from pathlib import Path

import numpy
import pytest
from experiments import assert_same_result, data_workers, experiment
from PIL import Image
from sklearn.datasets import load_sample_images

from imgcls.augmentations import random_flip, random_resized_crop
from imgcls.backend import tf
from imgcls.distributed.cluster import SINGLE_PROCESS
from imgcls.errors import Interrupted
from imgcls.input.augment import StatelessRandom, iterate_with_keys
from imgcls.input.batches import ShuffledBatches, make_examples, open_training_examples
from imgcls.input.iterators import StreamingIterator
from imgcls.run import Run
from imgcls.store.lookup import find_store
from imgcls.strategies import mirrored
from imgcls.training import history
from imgcls.verbs import train
from imgcls.verbs.prepare import prepare

BATCH = 8
STORES = {"encoded": "storage: encoded", "larger pixels": "stored_size: [40, 40]"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of 20 photos of two shapes, JPEG and PNG in turn."""
    folder = tmp_path_factory.mktemp("windows")
    generator = numpy.random.default_rng(0)
    for number in range(40):
        photo = load_sample_images().images[number % 2]
        top, left = generator.integers(0, 300), generator.integers(0, 500)
        path = (
            folder
            / "photos"
            / ("china", "flower")[number % 2]
            / f"{number}{('.jpg', '.png')[number // 2 % 2]}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo[top : top + 60 + 30 * (number % 3), left : left + 90]).save(path)
    return folder


def settings(folder, store, *overrides):
    data = (
        f"data={{name: folder, path: {folder / 'photos'}, store_dir: {folder / 'data'},"
        f" size: [24, 32], resize: crop, {store}}}"
    )
    augment = "augment=[{name: random_resized_crop, until: 50%}, {name: random_flip}]"
    return experiment(
        folder, data, augment, f"train.batch_size={BATCH}", "model.filters=[4]", *overrides
    )


@pytest.fixture(params=STORES.values(), ids=STORES)
def cropped(request, folder):
    """An experiment of two epochs, in the first of which windows are cut, with its plan."""
    wanted = settings(folder, request.param)
    prepare(wanted)
    store, split = find_store(wanted)
    return wanted, ShuffledBatches(open_training_examples(store, split, 2)[0], wanted), store, split


def collected(plan, steps, replicas=1, start=0):
    strategy = mirrored.build(mirrored.Settings(name="mirrored", replicas=replicas), SINGLE_PROCESS)
    feed = StreamingIterator(plan, strategy, start, dict.fromkeys(history.STAGES, 0.0))
    batches = [strategy.experimental_local_results(next(feed.call(0, 0))[0]) for _ in range(steps)]
    return numpy.stack([numpy.concatenate([part.numpy() for part in parts]) for parts in batches])


def test_what_is_read_is_what_the_augmentations_draw_for_the_stored_image(cropped):
    wanted, plan, store, split = cropped
    step, rows = 2, slice(1, 7)
    positions, _ = plan.positions(step)
    indices, reader = split.train[positions[rows]], store.reader(split.geometry)
    sizes = reader.sizes(indices)
    (crop, crop_key), (flip_settings, flip_key) = iterate_with_keys(wanted)
    random = [
        StatelessRandom(key, tf.constant(step, tf.int64), tf.constant(1, tf.int64), 6, BATCH)
        for key in (crop_key, flip_key)
    ]
    windows = random_resized_crop.draw_crops(
        crop, random[0], tf.constant(sizes[:, 0]), tf.constant(sizes[:, 1])
    ).numpy()
    cut = tf.constant(reader.crop(indices, windows, numpy.zeros(6, bool)))
    images, labels, _ = plan.read(step, rows)
    numpy.testing.assert_array_equal(images, random_flip.compute(flip_settings, cut, random[1]))
    assert (images != cut.numpy()).any()
    assert labels.tolist() == store.labels[indices].tolist()


def test_windows_end_with_the_augmentations_epochs(cropped):
    _, plan, store, split = cropped
    step = plan.steps  # of the second epoch, in which only the flip goes on
    positions, _ = plan.positions(step)
    images, _, _ = plan.read(step, slice(0, BATCH))
    whole = store.reader(split.geometry).read(split.train[positions])
    flipped = [not (image == original).all() for image, original in zip(images, whole, strict=True)]
    assert 0 < sum(flipped) < BATCH
    numpy.testing.assert_array_equal(
        [
            image[:, ::-1] if turned else image
            for image, turned in zip(images, flipped, strict=True)
        ],
        whole,
    )


def test_the_batches_are_the_same_on_two_devices_and_after_a_seek(cropped):
    _, plan, _, _ = cropped
    one = collected(plan, plan.steps + 2)
    assert one.shape[2:] == (24, 32, 3)
    numpy.testing.assert_array_equal(one, collected(plan, plan.steps + 2, replicas=2))
    numpy.testing.assert_array_equal(one[3:], collected(plan, plan.steps - 1, start=3))


def test_what_was_done_on_reading_is_not_done_a_second_time_to_the_batch(folder, monkeypatch):
    wanted = settings(folder, STORES["encoded"])
    prepare(wanted)
    store, split = find_store(wanted)
    for part in (random_resized_crop, random_flip):
        monkeypatch.setattr(part, "compute", None)
    assert collected(ShuffledBatches(make_examples(store, split, "train"), wanted), 1).shape == (
        1,
        BATCH,
        24,
        32,
        3,
    )


def test_a_store_of_the_models_size_leaves_the_windows_to_the_device(folder):
    wanted = settings(folder, "storage: pixels")
    prepare(wanted)
    store, split = find_store(wanted)
    assert not ShuffledBatches(make_examples(store, split, "train"), wanted).crops_on_read


@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_training_on_windows_that_is_interrupted_ends_with_the_same_bits(folder, tmp_path, store):
    wanted = settings(folder, store, "train.epochs=2", "train.steps_per_execution=1")
    prepare(wanted)
    train.train(wanted, tmp_path / "whole")
    limited = settings(
        folder, store, "train.epochs=2", "train.steps_per_execution=1", "train.time_limit=0.0001s"
    )
    with pytest.raises(Interrupted, match="at step 1"):
        train.train(limited, tmp_path / "parts")
    train.train(wanted, tmp_path / "parts")
    assert_same_result(Run(tmp_path / "whole"), Run(tmp_path / "parts"))


def test_memory_stays_flat_over_60_epochs_of_windows(cropped):
    _, plan, _, _ = cropped
    strategy = mirrored.build(mirrored.Settings(name="mirrored", replicas=1), SINGLE_PROCESS)
    stream = StreamingIterator(plan, strategy, 0, dict.fromkeys(history.STAGES, 0.0)).call(0, 0)
    pages = []
    for _ in range(60 * plan.steps):
        next(stream)
        all_of_it = [os.getpid(), *data_workers(os.getpid())]
        pages.append(
            sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in all_of_it)
        )
    assert (pages[-1] - pages[20 * plan.steps]) * os.sysconf("SC_PAGE_SIZE") < 8 * 2**20
