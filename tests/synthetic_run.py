"""A run folder with its store and all but a trained model, made in milliseconds: what the figures
and the report page read.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy
from experiments import make_epoch, source_of, stored
from synthetic_explanations import write_explanations

from imgcls import parts
from imgcls.config import Experiment
from imgcls.corruptions import SEVERITIES
from imgcls.datasets import SPLITS, Entry
from imgcls.evaluation import predictions
from imgcls.evaluation.embedding import EmbeddingArrays
from imgcls.evaluation.predictions import Predictions
from imgcls.evaluation.robustness_record import Condition, CorruptedCondition, Robustness
from imgcls.io import files
from imgcls.io.array_records import write_arrays
from imgcls.io.records import write_record, write_records
from imgcls.run import Run
from imgcls.split import assign
from imgcls.store.manifest import DataDescription
from imgcls.training.history import EpochLog

NASTY = [
    '<b>&"',
    "$x_1$ costs $5",
    "_hidden",
    "n02123045 tabby, tabby cat, or just a very long name",
    "new\nline",
    "日本語",
    "\udcff",
]
CHANNELS = 3
FILTERS = 8
TEMPERATURE = 1.25


def _make_model() -> bytes:
    """Return a model.keras of one convolution, of which figures read the weights alone."""
    weights, archive = io.BytesIO(), io.BytesIO()
    with h5py.File(weights, "w") as file:
        group = file.create_group("layers/conv2d/vars")
        group.attrs["name"] = "stem"
        kernel = numpy.random.default_rng(0).normal(size=(3, 3, CHANNELS, FILTERS))
        group["0"] = kernel.astype(numpy.float32)
    config = {"class_name": "Conv2D", "config": {"name": "stem"}}
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("config.json"), json.dumps(config))
        file.writestr(zipfile.ZipInfo("model.weights.h5"), weights.getvalue())
    return archive.getvalue()


MODEL = _make_model()


def class_names(count: int) -> list[str]:
    """Return names as they come: nasty ones first, then long ones of ImageNet's kind."""
    return [*NASTY, *[f"n{2123000 + i:08d} class {i}, also called {i}" for i in range(count)]][
        :count
    ]


def make_predictions(classes: int, per_class: int) -> Predictions:
    """Return predictions that are mostly right, with `per_class` images a class; some classes are
    harder than others, as in life.
    """
    generator = numpy.random.default_rng(0)
    labels = numpy.repeat(numpy.arange(classes, dtype=numpy.int32), per_class)
    logits = generator.normal(size=(len(labels), classes))
    logits[numpy.arange(len(labels)), labels] += 3 + 2 * numpy.sin(labels)
    probabilities = numpy.exp(logits) / numpy.exp(logits).sum(axis=1, keepdims=True)
    ids = [f"test/{label}/{i}" for label in range(classes) for i in range(per_class)]
    return Predictions(
        probabilities.astype(numpy.float32),
        labels,
        ids,
        class_names(classes),
        hashlib.sha256(MODEL).hexdigest(),
        TEMPERATURE,
    )


def make_log(epochs: int) -> list[EpochLog]:
    """Return a log in which the loss falls, and the validation accuracy peaks at three quarters of
    the way.
    """
    peak = max(1, epochs * 3 // 4)
    return [
        make_epoch(
            epoch=epoch,
            step=10 * epoch,
            loss=2.0 / epoch,
            accuracy=1 - 0.8 / epoch,
            val_loss=2.2 / epoch + 0.002 * epoch,
            val_accuracy=0.9 - abs(epoch - peak) / (2 * epochs + 2),
            learning_rate=0.001 * (1 - epoch / (epochs + 1)),
        )
        for epoch in range(1, epochs + 1)
    ]


def make_run(
    folder: Path,
    classes: int = 3,
    per_class: int = 8,
    epochs: int = 5,
    channels: int = CHANNELS,
    **sections: object,
) -> Run:
    """Write a run folder, evaluated on its test split, and its store beside it; `sections` go into
    its config.yaml.
    """
    run, parent = Run(folder), folder.parent / "data"
    experiment = {
        "name": "synthetic",
        "data": {"name": "digits", "store_dir": str(parent)},
        "model": {"name": "cnn"},
        **sections,
    }
    files.write_text(run.config_file, json.dumps(experiment))
    run.write_status("finished", step=10 * epochs, exit_code=0, reason="")
    write_records(run.log_file, make_log(epochs))
    write_record(run.data_file, _make_store(run.experiment, parent, classes, per_class, channels))
    run.model_file.write_bytes(MODEL)
    made = make_predictions(classes, per_class)
    predictions.save(made, run.predictions_file("test"))
    write_explanations(run, made)
    write_record(run.robustness_file("test"), make_robustness(classes * per_class))
    write_arrays(run.embedding_file("test"), make_embedding(classes, per_class))
    return run


def make_embedding(classes: int, per_class: int) -> EmbeddingArrays:
    """Return a map in which the images of a class lie around its place on a circle."""
    made = make_predictions(classes, per_class)
    generator = numpy.random.default_rng(0)
    angles = 2 * numpy.pi * made.labels / classes
    places = numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1)
    places += generator.normal(0, 0.2, places.shape)
    levels = 250 * made.labels // classes
    thumbnails = numpy.broadcast_to(levels[:, None, None, None], (len(levels), 32, 32, 3))
    return EmbeddingArrays(
        ids=numpy.array(made.ids, dtype=str),
        labels=made.labels,
        predicted=made.predicted.astype(numpy.int32),
        pca=places.astype(numpy.float32),
        tsne=(10 * places).astype(numpy.float32),
        neighbors=made.labels,
        thumbnails=thumbnails.astype(numpy.uint8),
        model=numpy.array(made.model),
    )


def make_robustness(images: int) -> Robustness:
    """Return metrics under corruptions, which get worse with the severity."""

    def make(accuracy: float) -> dict[str, object]:
        accuracy = max(0.0, accuracy)
        interval = (max(0.0, accuracy - 0.05), min(1.0, accuracy + 0.05))
        numbers = {"log_loss": 2 - accuracy, "expected_calibration_error": 0.3 - 0.3 * accuracy}
        return {"accuracy": accuracy, "interval": interval, **numbers}

    corrupted = [
        CorruptedCondition(corruption=name, severity=i, **make(0.9 - 0.02 * i * (place % 9)))
        for place, name in enumerate(parts.list_names("corruptions"))
        for i in SEVERITIES
    ]
    return Robustness(
        split="test",
        model=hashlib.sha256(MODEL).hexdigest(),
        images=images,
        split_images=images,
        seed=0,
        confidence=0.95,
        clean=Condition(**make(0.9)),
        corrupted=corrupted,
        mean_error=sum(1 - each.accuracy for each in corrupted) / len(corrupted),
    )


def _make_store(
    experiment: Experiment, parent: Path, classes: int, per_class: int, channels: int
) -> DataDescription:
    sizes = {"train": 2 * per_class, "validation": 2, "test": per_class}
    extra = {"train": 3, "validation": 2, "test": 1}
    places = [
        (split, label, i)
        for split in SPLITS
        for label in range(classes)
        for i in range(sizes[split] + label % extra[split])
    ]

    generator = numpy.random.default_rng(0)
    images = numpy.stack(
        [
            generator.integers(0, 60, (8, 10, channels)) + 190 * label // classes
            for _, label, _ in places
        ]
    )
    entries = [Entry(f"{split}/{label}/{i}", label, split) for split, label, i in places]
    store = stored(
        parent, source_of(images.astype(numpy.uint8), entries, class_names(classes)), "digits"
    )
    split = assign.assign_splits(store, experiment.data, experiment.seed)
    store.save_split(split)
    return store.describe(split)
