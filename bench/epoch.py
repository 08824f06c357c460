"""Time of a training epoch, compared with bare training steps and with `model.fit`."""

import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy

ROUNDS = 3
IMAGES = 60_000


def measure_ratios(folder: Path | None) -> list[tuple[str, float, str]]:
    """Compare epochs of configs/fashion_cnn.yaml, including validation and checkpoint.

    Args:
        folder: with the IDX files of Fashion-MNIST; None for noise.
    """
    with tempfile.TemporaryDirectory() as temporary:
        medians = _measure(folder or write_noise(Path(temporary)), Path(temporary))
    for name, seconds in medians.items():
        print(f"epoch: {name} {seconds:.2f} s", file=sys.stderr)
    epoch = medians["imgcls"]
    return [
        (
            "epoch of fashion_cnn / bare training steps on one batch",
            epoch / medians["bare"],
            "<= 1.10",
        ),
        (
            "epoch of fashion_cnn / model.fit, Keras as it comes",
            epoch / medians["plain"],
            "<= 0.80",
        ),
        ("epoch of fashion_cnn / model.fit, oneDNN switched on", epoch / medians["onednn"], ""),
    ]


def _measure(folder: Path, temporary: Path) -> dict[str, float]:
    """Return the median seconds per epoch of each method, measured in alternation."""
    methods, (store, split) = _make_epoch_and_bare_steps(folder, temporary)
    reader = store.open_reader(split.geometry)
    arrays = temporary / "arrays.npz"
    numpy.savez(
        arrays,
        images=reader.read(split.train),
        labels=store.labels[split.train],
        validation_images=reader.read(split.validation),
        validation_labels=store.labels[split.validation],
    )
    workers = {
        "plain": _start_worker(arrays, {}),
        "onednn": _start_worker(arrays, {"TF_ENABLE_ONEDNN_OPTS": "1"}),
    }
    requests = {name: _make_request(worker) for name, worker in workers.items()}
    seconds = _measure_medians({**methods, **requests})
    for worker in workers.values():
        worker.communicate()
    return seconds


def measure_epoch_and_bare_steps(folder: Path, temporary: Path) -> dict[str, float]:
    """Return the median seconds of an epoch of imgcls, and of its `bare` training steps.

    Args:
        folder: with the IDX files of Fashion-MNIST.
        temporary: for the run and the data set.
    """
    methods, _ = _make_epoch_and_bare_steps(folder, temporary)
    return _measure_medians(methods)


def _make_epoch_and_bare_steps(folder: Path, temporary: Path) -> tuple[dict, tuple]:
    """Return functions that train an epoch, after a first one; and the store with its split."""
    trainer, experiment, store, split = _make_trainer(folder, temporary)
    reader = store.open_reader(split.geometry)
    batch = split.train[:128]
    from imgcls.io.signals import StopRequest
    from imgcls.training import build

    epochs = trainer.train_epochs(StopRequest())
    bare = _make_bare_epoch(
        build.build_model(experiment, store, split),
        reader.read(batch),
        store.labels[batch],
        steps=-(-len(split.train) // 128),
    )

    def train_epoch() -> None:
        next(epochs)
        trainer.recorder.finish_writing()  # which would slow down the next method

    train_epoch()
    return {"imgcls": train_epoch, "bare": bare}, (store, split)


def _measure_medians(methods: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Call the methods in alternation; return the median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(ROUNDS):
        for name, run in methods.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _make_trainer(folder: Path, temporary: Path) -> tuple:
    """Return a trainer with its experiment, store and split."""
    from imgcls.experiment_file import read_experiment
    from imgcls.run import create_run
    from imgcls.store.lookup import find_store
    from imgcls.training.trainer import Trainer
    from imgcls.verbs.prepare import prepare

    overrides = [
        f"data.path={folder}",
        f"data.store_dir={temporary / 'data'}",
        f"train.epochs={ROUNDS + 1}",
    ]
    experiment = read_experiment(Path("configs/fashion_cnn.yaml"), overrides)
    prepare(experiment)
    store, split = find_store(experiment)
    return (
        Trainer(create_run(experiment, temporary / "run"), experiment, store, split),
        experiment,
        store,
        split,
    )


def _make_bare_epoch(
    model: "object", images: numpy.ndarray, labels: numpy.ndarray, steps: int
) -> Callable[[], None]:
    """Return a function that runs the training steps of an epoch on one batch in memory."""
    from imgcls.backend import tf
    from imgcls.optimizers import adamw

    optimizer = adamw.build(adamw.Settings(name="adamw"), 1e-3)
    optimizer.build(model.trainable_variables)
    images, labels = tf.constant(images), tf.constant(labels)

    @tf.function
    def run(count: tf.Tensor) -> tf.Tensor:
        loss = 0.0
        for step in tf.range(count):
            with tf.GradientTape() as tape:
                logits = model(images, training=True, step=step, first_row=tf.constant(0))
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
            optimizer.apply(
                tape.gradient(loss, model.trainable_variables), model.trainable_variables
            )
        return loss

    run(tf.constant(2))
    return lambda: run(tf.constant(steps)).numpy()  # waits for a GPU


def _start_worker(arrays: Path, environment: dict[str, str]) -> subprocess.Popen:
    """Start a process that trains with `model.fit`; `environment` has additional variables."""
    inherited = {
        name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "bench.keras_fit", str(arrays)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**inherited, **environment},
    )
    worker.stdout.readline()
    return worker


def _make_request(worker: subprocess.Popen) -> Callable[[], None]:
    """Return a function that makes a worker train one epoch."""

    def run() -> None:
        worker.stdin.write("epoch\n")
        worker.stdin.flush()
        float(worker.stdout.readline())

    return run


def write_noise(folder: Path, images: int = IMAGES) -> Path:
    """Write noise in the format of Fashion-MNIST; speed does not depend on the pixels."""
    generator = numpy.random.default_rng(0)
    for name, count in (("train", images), ("t10k", 1000)):
        pixels = generator.integers(0, 256, (count, 28, 28), numpy.uint8)
        header = b"\x00\x00\x08\x03" + b"".join(size.to_bytes(4, "big") for size in pixels.shape)
        labels = numpy.arange(count, dtype=numpy.uint8) % 10
        for kind, content in (
            ("images-idx3", header + pixels.tobytes()),
            ("labels-idx1", b"\x00\x00\x08\x01" + count.to_bytes(4, "big") + labels.tobytes()),
        ):
            with gzip.open(folder / f"{name}-{kind}-ubyte.gz", "wb", compresslevel=1) as stream:
                stream.write(content)
    return folder
