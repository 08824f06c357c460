"""Crops on reading, from images stored larger than the model sees them."""

import os
from contextlib import closing
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
from imgcls.input.iterators import make_iterator
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
    folder = tmp_path_factory.mktemp("crops")
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


def make_settings(folder, store, *overrides):
    data = (
        f"data={{name: folder, path: {folder / 'photos'}, store_dir: {folder / 'data'},"
        f" size: [24, 32], resize: crop, {store}}}"
    )
    augment = "augment=[{name: random_resized_crop, until: 50%}, {name: random_flip}]"
    return experiment(
        folder, data, augment, f"train.batch_size={BATCH}", "model.filters=[4]", *overrides
    )


@pytest.fixture(params=STORES.values(), ids=STORES)
def cropping(request, folder):
    """An experiment of two epochs that crops in the first, its batches, store and split."""
    settings = make_settings(folder, request.param)
    prepare(settings)
    store, split = find_store(settings)
    return (
        settings,
        ShuffledBatches(open_training_examples(store, split, 2)[0], settings),
        store,
        split,
    )


def collect_batches(plan, steps, replicas=1, start=0):
    strategy = mirrored.build(mirrored.Settings(name="mirrored", replicas=replicas), SINGLE_PROCESS)
    stages = dict.fromkeys(history.STAGES, 0.0)
    with closing(make_iterator("store", plan, strategy, start, stages)) as iterator:
        stream, _ = iterator.make_execution_inputs(0, 0)
        batches = [strategy.experimental_local_results(next(stream)[0]) for _ in range(steps)]
        del stream
    return numpy.stack([numpy.concatenate([local.numpy() for local in each]) for each in batches])


def test_images_are_read_with_the_random_parameters_of_the_augmentations(cropping):
    settings, plan, store, split = cropping
    step, rows = 2, slice(1, 7)
    positions, _ = plan.compute_positions(step)
    indices, reader = split.train[positions[rows]], store.open_reader(split.geometry)
    sizes = reader.get_sizes(indices)
    (crop, crop_key), (flip, flip_key) = iterate_with_keys(settings)
    random = [
        StatelessRandom(key, tf.constant(step, tf.int64), tf.constant(1, tf.int64), 6, BATCH)
        for key in (crop_key, flip_key)
    ]
    crops = random_resized_crop.draw_crops(
        crop, random[0], tf.constant(sizes[:, 0]), tf.constant(sizes[:, 1])
    ).numpy()
    cropped = tf.constant(reader.crop(indices, crops, numpy.zeros(6, bool)))
    images, labels, _ = plan.read(step, rows)
    numpy.testing.assert_array_equal(images, random_flip.compute(flip, cropped, random[1]))
    assert (images != cropped.numpy()).any()
    assert labels.tolist() == store.labels[indices].tolist()


def test_crops_end_when_the_until_of_the_augmentation_is_reached(cropping):
    _, plan, store, split = cropping
    step = plan.steps_per_epoch  # of the second epoch, in which only the flip goes on
    positions, _ = plan.compute_positions(step)
    images, _, _ = plan.read(step, slice(0, BATCH))
    whole = store.open_reader(split.geometry).read(split.train[positions])
    flipped = [not (image == original).all() for image, original in zip(images, whole, strict=True)]
    assert 0 < sum(flipped) < BATCH
    numpy.testing.assert_array_equal(
        [image[:, ::-1] if flip else image for image, flip in zip(images, flipped, strict=True)],
        whole,
    )


def test_batches_are_the_same_on_two_devices_and_after_a_resume(cropping):
    _, plan, _, _ = cropping
    one = collect_batches(plan, plan.steps_per_epoch + 2)
    assert one.shape[2:] == (24, 32, 3)
    numpy.testing.assert_array_equal(
        one, collect_batches(plan, plan.steps_per_epoch + 2, replicas=2)
    )
    numpy.testing.assert_array_equal(
        one[3:], collect_batches(plan, plan.steps_per_epoch - 1, start=3)
    )


def test_what_was_applied_on_reading_is_not_applied_to_the_batch_again(folder, monkeypatch):
    settings = make_settings(folder, STORES["encoded"])
    prepare(settings)
    store, split = find_store(settings)
    for part in (random_resized_crop, random_flip):
        monkeypatch.setattr(part, "compute", None)
    assert collect_batches(
        ShuffledBatches(make_examples(store, split, "train"), settings), 1
    ).shape == (
        1,
        BATCH,
        24,
        32,
        3,
    )


def test_a_store_of_the_models_size_is_cropped_on_the_device(folder):
    settings = make_settings(folder, "storage: pixels")
    prepare(settings)
    store, split = find_store(settings)
    assert not ShuffledBatches(make_examples(store, split, "train"), settings).crops_on_read


@pytest.mark.full
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_training_on_crops_that_is_interrupted_ends_with_the_same_bits(folder, tmp_path, store):
    settings = make_settings(folder, store, "train.epochs=2", "train.steps_per_execution=1")
    prepare(settings)
    train.train(settings, tmp_path / "whole")
    limited = make_settings(
        folder, store, "train.epochs=2", "train.steps_per_execution=1", "train.time_limit=0.0001s"
    )
    with pytest.raises(Interrupted, match="at step 1"):
        train.train(limited, tmp_path / "continued")
    train.train(settings, tmp_path / "continued")
    assert_same_result(Run(tmp_path / "whole"), Run(tmp_path / "continued"))


@pytest.mark.full
def test_memory_stays_flat_over_60_epochs_of_crops(cropping):
    _, plan, _, _ = cropping
    strategy = mirrored.build(mirrored.Settings(name="mirrored", replicas=1), SINGLE_PROCESS)
    stages = dict.fromkeys(history.STAGES, 0.0)
    pages = []
    with closing(make_iterator("store", plan, strategy, 0, stages)) as iterator:
        stream, _ = iterator.make_execution_inputs(0, 0)
        for _ in range(60 * plan.steps_per_epoch):
            next(stream)
            statms = [
                Path(f"/proc/{process}/statm").read_text()
                for process in [os.getpid(), *data_workers(os.getpid())]
            ]
            pages.append(sum(int(statm.split()[1]) for statm in statms))
        del stream
    assert (pages[-1] - pages[20 * plan.steps_per_epoch]) * os.sysconf("SC_PAGE_SIZE") < 8 * 2**20
