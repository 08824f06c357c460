"""Runs on folders of photos, with random weights in place of a training."""

import csv
import json
from pathlib import Path

import numpy
from experiments import command, describe_model
from PIL import Image
from test_model_page import make_photos
from typer.testing import CliRunner

from imgcls.cli.main import app
from imgcls.config import Experiment
from imgcls.image.decode import Geometry
from imgcls.io import files
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.store.manifest import DataDescription
from imgcls.verbs.prepare import prepare

SIZE = [13, 16]


def make_run(folder: Path, batch_size: int = 8, **data: object) -> Run:
    """Return a finished run on photos of every kind, of which most are in the test split."""
    photos = folder / "photos"
    if not photos.exists():
        make_photos(photos)
    settings = {
        "name": "folder",
        "path": str(photos),
        "store_dir": str(folder / "data"),
        "size": SIZE,
        "test": 0.8,
        **data,
    }
    experiment = Experiment.model_validate(
        {
            "name": "photos",
            "data": settings,
            "model": {"name": "cnn"},
            "train": {"batch_size": batch_size},
            "evaluate": {"bootstrap_samples": 100, "metrics": [{"name": "accuracy"}]},
        }
    )
    run = Run(folder / "run")
    files.write_text(run.config_file, experiment.to_yaml())
    described = prepare(experiment)
    fields = {name: getattr(described, name) for name in DataDescription.model_fields}
    write_record(run.data_file, DataDescription(**fields))
    _, split = lookup.open_run_store(run.data, experiment.data.store_dir)
    write_model(run, split.geometry)
    run.write_status("finished", step=1)
    return run


def write_model(run: Run, geometry: Geometry, seed: int = 0) -> None:
    """Write a model with a convolution and a dense layer, whose weights are random."""
    from imgcls.backend import keras
    from imgcls.training import model_file

    keras.utils.set_random_seed(seed)
    images = keras.Input(geometry.shape, dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255)(images)
    features = keras.layers.Flatten()(keras.layers.Conv2D(8, 3, activation="relu")(scaled))
    logits = keras.layers.Dense(len(run.data.classes), name="logits")(features)
    serving = model_file.make_serving_model(keras.Model(images, logits), 1.5)
    description = describe_model(run.data.classes, geometry.shape, geometry.resize)
    own = description.model_copy(update={"fingerprint": run.data.fingerprint})
    model_file.save_model(serving, own, run.model_file)


def write_run_and_images() -> None:
    """Write a run on photos, `run`, and some `images` to the current folder."""
    make_run(Path())
    generator = numpy.random.default_rng(0)
    for name in ("b/2.png", "b.png", "b/1.PNG", "a.jpg", "b/c/0.webp"):
        path = Path("images") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (20, 30, 3), numpy.uint8)).save(path)


def predict_lines(*arguments: object, exit_code: int = 0) -> list[dict]:
    """Return the JSON lines that `imgcls predict` prints."""
    found, stdout, stderr = command("predict", *arguments, "--format", "jsonl")
    assert found == exit_code, stderr
    return [json.loads(line) for line in stdout.splitlines()]


def read_csv(text: str) -> list[dict[str, str]]:
    """Return the rows of CSV."""
    return list(csv.DictReader(text.splitlines()))


def predict_stdin(text: bytes, *arguments: str) -> tuple[int, list[str], str]:
    """Return the exit code, the paths and stderr of a command with paths on stdin."""
    words = ["predict", "run", *arguments, "--format", "jsonl"]
    result = CliRunner().invoke(app, words, input=text)
    paths = [json.loads(line)["path"] for line in result.stdout.splitlines()]
    return result.exit_code, paths, result.stderr
