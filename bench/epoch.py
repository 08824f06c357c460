"""Time of a training epoch, compared with bare training steps."""

import gzip
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from bench.ratios import Ratio, measure_medians

if TYPE_CHECKING:
    import keras

    from imgcls.config import Experiment
    from imgcls.store.split_file import Split
    from imgcls.store.store import Store
    from imgcls.training.trainer import Trainer

ROUNDS = 3
IMAGES = 60_000


def measure_ratios(folder: Path | None) -> list[Ratio]:
    """Compare epochs of configs/fashion_cnn.yaml, including validation and checkpoint.

    Args:
        folder: with the IDX files of Fashion-MNIST; None for noise.
    """
    with tempfile.TemporaryDirectory() as temporary:
        images = folder or write_noise(Path(temporary))
        medians = measure_epoch_and_bare_steps(images, Path(temporary))
    for name, seconds in medians.items():
        print(f"epoch: {name} {seconds:.2f} s", file=sys.stderr)
    ratio = medians["imgcls"] / medians["bare"]
    return [("epoch of fashion_cnn / bare training steps on one batch", ratio, "<= 1.10")]


def measure_epoch_and_bare_steps(folder: Path, temporary: Path) -> dict[str, float]:
    """Return the median seconds of an epoch of imgcls, and of its `bare` training steps.

    Args:
        folder: with the IDX files of Fashion-MNIST.
        temporary: for the run and the data set.
    """
    from imgcls.training import build

    trainer, experiment, store, split = make_trainer(folder, temporary)
    batch = split.train[:128]
    train_epoch = make_epoch(trainer)
    bare = _make_bare_epoch(
        build.build_model(experiment, store.describe(split)),
        store.open_reader(split.geometry).read(batch),
        store.labels[batch],
        steps=-(-len(split.train) // 128),
    )
    return measure_medians({"imgcls": train_epoch, "bare": bare}, ROUNDS)


def make_epoch(trainer: "Trainer") -> Callable[[], None]:
    """Return a function that trains an epoch, after a first one."""
    from imgcls.io.signals import StopRequest

    epochs = trainer.train_epochs(StopRequest())

    def train_epoch() -> None:
        next(epochs)
        trainer.recorder.finish_writing()  # which would slow down the next method

    train_epoch()
    return train_epoch


def make_trainer(
    folder: Path, temporary: Path, overrides: Sequence[str] = ()
) -> "tuple[Trainer, Experiment, Store, Split]":
    """Return a trainer of configs/fashion_cnn.yaml with its experiment, store and split.

    Args:
        folder: with the IDX files of Fashion-MNIST.
        temporary: for the run and the data set.
        overrides: further settings, such as another model.
    """
    from imgcls.experiment_file import read_experiment
    from imgcls.store.lookup import find_store
    from imgcls.training.new_run import create_run
    from imgcls.training.trainer import Trainer
    from imgcls.verbs.prepare import prepare

    settings = [
        f"data.path={folder}",
        f"data.store_dir={temporary / 'data'}",
        f"train.epochs={ROUNDS + 1}",
        *overrides,
    ]
    experiment = read_experiment(Path("configs/fashion_cnn.yaml"), settings)
    prepare(experiment)
    store, split = find_store(experiment)
    return (
        Trainer(create_run(experiment, temporary / "run"), experiment, store, split),
        experiment,
        store,
        split,
    )


def _make_bare_epoch(
    model: "keras.Model", images: numpy.ndarray, labels: numpy.ndarray, steps: int
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
