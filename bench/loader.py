"""Speed of reading training batches: from encoded images, from stored pixels, and from memory."""

import gc
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.epoch import write_noise
from bench.photos import CROPPED, make_batches, make_loader, prepare_experiment, write_photos
from bench.ratios import Ratio

ROUNDS = 7
BATCH, WARMING, STEPS = 100, 8, 12
TRAINED = 1280
CORES = len(os.sched_getaffinity(0))


def measure_ratios() -> list[Ratio]:
    """Compare imgcls's iterators with decoding alone, Keras's loader, and the speed of training."""
    with tempfile.TemporaryDirectory() as folder:
        speeds = _measure(_make_loaders(Path(folder)))

    def compute_ratio(one: str, other: str) -> float:
        """Return the median ratio of the speeds of two loaders in the same round."""
        return statistics.median(a / b for a, b in zip(speeds[one], speeds[other], strict=True))

    raw = statistics.median(speeds["raw 256"]) / CORES / 1000
    return [
        *(
            (
                f"JPEG 500x375, {stored}, random resized crop 224, flip / {name}",
                compute_ratio(loader, other),
                target,
            )
            for loader, stored in (
                ("restart markers", "stored with restart markers"),
                ("encoded", "as it comes"),
            )
            for other, name, target in (
                ("decode", "bare decode_and_crop_jpeg", ">= 0.90"),
                ("decode and resize", "decode_and_crop_jpeg and tf.image.resize", ""),
                ("keras", "Keras's image_dataset_from_directory", ">= 1.40"),
            )
        ),
        ("raw 256, random resized crop 224, flip: 1,000 images/s a core", raw, ">= 2.00"),
        (
            "28x28 from memory / training the cnn, images/s",
            compute_ratio("memory", "cnn"),
            ">= 100",
        ),
    ]


def _make_loaders(folder: Path) -> dict[str, Callable[[], Iterator[int]]]:
    """Return all loaders by name; each starts an iterator over the numbers of images in batches."""
    from imgcls.backend import tf

    photos = folder / "photos"
    write_photos(photos)
    return {
        "encoded": _make_store_loader(folder, "storage: encoded"),
        "restart markers": _make_store_loader(folder, "storage: encoded, restart_markers: true"),
        "raw 256": _make_store_loader(folder, "stored_size: [256, 256]"),
        "decode": _make_decoder(photos, tf.shape),
        "decode and resize": _make_decoder(photos, partial(tf.image.resize, size=[224, 224])),
        "keras": _make_keras_loader(photos),
        "memory": _make_memory_loader(folder),
        "cnn": _make_training(folder),
    }


def _measure(loaders: dict[str, Callable[[], Iterator[int]]]) -> dict[str, list[float]]:
    """Measure the loaders in alternation; return the images/s of each in each round.

    Each round starts a new iterator, since an old one would keep reading in the background. The
    first batches are not timed, while tf.data tunes its number of threads.

    Args:
        loaders: functions that return an iterator over the numbers of images in batches.
    """
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(ROUNDS):
        for name, loader in loaders.items():
            batches = loader()
            sum(itertools.islice(batches, WARMING))
            start = time.perf_counter()
            images = sum(itertools.islice(batches, STEPS))
            speeds[name].append(images / (time.perf_counter() - start))
            del batches
            gc.collect()
    for name, values in speeds.items():
        print(f"loader: {name} {statistics.median(values):,.0f} images/s", file=sys.stderr)
    return speeds


def _make_store_loader(folder: Path, store: str) -> Callable[[], Iterator[int]]:
    """Return a loader of a store with some settings."""
    text = CROPPED.format(folder=folder, store=store, batch=BATCH)
    loader = make_loader(make_batches(*prepare_experiment(text, folder)))
    return lambda: (images.shape[0] for images in loader())


def _make_decoder(photos: Path, then: Callable[[Any], Any]) -> Callable[[], Iterator[int]]:
    """Return a loader that decodes random crops with TensorFlow's fastest decoder.

    Args:
        then: applied to each decoded crop.
    """
    import numpy

    from imgcls.augmentations import random_resized_crop
    from imgcls.backend import tf
    from imgcls.input.augment import StatelessRandom

    files = [path.read_bytes() for path in sorted(photos.glob("*/*.jpg"))]
    count = 1000
    random = StatelessRandom(
        "bench", tf.constant(0, tf.int64), tf.constant(0, tf.int64), count, count
    )
    settings = random_resized_crop.Settings(name="random_resized_crop")
    crops = random_resized_crop.draw_crops(
        settings, random, tf.fill([count], 375), tf.fill([count], 500)
    )
    sampled = tf.constant(
        [files[i] for i in numpy.random.default_rng(0).integers(0, len(files), count)]
    )

    def decode(data: tf.Tensor, crop: tf.Tensor) -> tf.Tensor:
        return then(
            tf.image.decode_and_crop_jpeg(data, crop, channels=3, dct_method="INTEGER_FAST")
        )

    dataset = (
        tf.data.Dataset.from_tensor_slices((sampled, crops))
        .repeat()
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    )
    batches = dataset.batch(BATCH).prefetch(1)
    return lambda: (BATCH for _ in batches)


def _make_keras_loader(photos: Path) -> Callable[[], Iterator[int]]:
    """Return Keras's loader of image folders."""
    from imgcls.backend import keras

    dataset = keras.utils.image_dataset_from_directory(
        photos, image_size=(224, 224), batch_size=BATCH, verbose=False
    )
    return lambda: (int(images.shape[0]) for images, _ in dataset.repeat())


def _make_memory_loader(folder: Path) -> Callable[[], Iterator[int]]:
    """Return a loader of 28x28 images in the device's memory, with the in-memory iterator."""
    import numpy

    from imgcls.backend import tf
    from imgcls.experiment_file import read_experiment
    from imgcls.image.decode import Geometry
    from imgcls.input.batches import Examples, ShuffledBatches
    from imgcls.input.in_memory_iterator import InMemoryIterator
    from imgcls.store.reader import PixelReader

    path = folder / "memory.yaml"
    path.write_text(
        "{name: memory, data: {name: digits}, model: {name: cnn}, train: {batch_size: 128}}"
    )
    images = numpy.random.default_rng(0).integers(0, 256, (54_000, 28, 28, 1), numpy.uint8)
    labels, indices = numpy.zeros(len(images), numpy.int32), numpy.arange(len(images))
    images.tofile(folder / "images.u8")
    reader = PixelReader(folder / "images.u8", (28, 28, 1), Geometry((28, 28, 1), "stretch"))
    batches = ShuffledBatches(Examples(reader, labels, indices), read_experiment(path))
    strategy, steps = tf.distribute.OneDeviceStrategy("CPU:0"), batches.steps_per_epoch
    iterator = InMemoryIterator(batches, strategy)

    @tf.function(input_signature=[iterator.signature])
    def load_epoch(inputs: Any) -> tf.Tensor:
        distributed, total = iterator.distribute_inputs(inputs), tf.zeros([], tf.int64)
        for i in tf.range(steps):
            replica_inputs = iterator.make_replica_inputs(distributed, i, total)
            batch, _, _ = strategy.run(iterator.make_local_batch, args=replica_inputs)
            total += tf.cast(batch[0, 0, 0, 0] + batch[-1, -1, -1, 0], tf.int64)
        return total

    def start() -> Iterator[int]:
        for _ in itertools.count():
            load_epoch(iterator.make_execution_inputs(0, steps))
            yield steps * 128

    return start


def _make_training(folder: Path) -> Callable[[], Iterator[int]]:
    """Return a function that trains configs/fashion_cnn.yaml on 28x28 images in memory."""
    from imgcls.experiment_file import read_experiment
    from imgcls.io.signals import StopRequest
    from imgcls.store.lookup import find_store
    from imgcls.training.new_run import create_run
    from imgcls.training.trainer import Trainer
    from imgcls.verbs.prepare import prepare

    path = write_noise(folder, TRAINED)
    overrides = [
        f"data.path={path}",
        f"data.store_dir={folder / 'data'}",
        f"train.epochs={(ROUNDS + 1) * (WARMING + STEPS)}",
        "data.validation=0",
    ]
    experiment = read_experiment(
        Path("configs/fashion_cnn.yaml"), [*overrides, "train.select_weights=last"]
    )
    prepare(experiment)
    epochs = Trainer(
        create_run(experiment, folder / "run"), experiment, *find_store(experiment)
    ).train_epochs(StopRequest())
    return lambda: (TRAINED for _ in epochs)
