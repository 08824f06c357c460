"""Speed of `imgcls predict` on photos, and its memory on many files.

Run only this benchmark with `python -m bench.predict`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.photos import write_photos
from bench.ratios import Ratio, print_ratios

ROUNDS, BATCHES, BATCH = 9, 3, 32
FILES = (10_000, 100_000)
MODELS = {"{name: resnet, depth: 18}": ">= 0.90", "{name: mobilenet}": ""}
"""The models, each with a target: photos are read on the cores that compute the model, too, so that
reading takes a good part of the time of a small model."""
EXPERIMENT = """
name: predict
data: {{name: folder, path: {folder}, size: [224, 224], resize: crop, channels: 3}}
model: {model}
train: {{batch_size: {batch}}}
"""
DIGITS = """
{name: digits, data: {name: digits}, model: {name: cnn}, train: {epochs: 1, batch_size: 128}}
"""


def measure_ratios() -> list[Ratio]:
    """Compare predicting files, in images/s, with the bare model on a batch in memory; and the
    memory for many files with that for few.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder / "photos")
        paths = sorted(map(str, (folder / "photos").rglob("*.jpg")))[: BATCHES * BATCH]
        rows = []
        for model, target in MODELS.items():
            ratio = _measure(*_make_predictors(folder, model, paths))
            rows.append((f"predict JPEG 500x375, {model} at 224 / bare model", ratio, target))
        few, many = _measure_memory(folder)
        print(f"predict: peak memory {few:,.0f} and {many:,.0f} MiB", file=sys.stderr)
        return [
            *rows,
            (f"peak memory of predicting {FILES[1]:,} / {FILES[0]:,} files", many / few, "<= 1.10"),
        ]


def _make_predictors(
    folder: Path, model: str, paths: list[str]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return functions that predict all files to CSV, and the same batches in memory."""
    import numpy

    from imgcls import parts
    from imgcls.backend import keras
    from imgcls.evaluation.compiled_model import CompiledModel
    from imgcls.experiment_file import read_experiment
    from imgcls.image.decode import Geometry
    from imgcls.models import Problem
    from imgcls.prediction.classifier import Classifier
    from imgcls.prediction.inputs import Inputs
    from imgcls.prediction.loaded_model import LoadedModel
    from imgcls.prediction.options import PredictOptions
    from imgcls.prediction.rows import RowMaker
    from imgcls.prediction.writers import CsvWriter
    from imgcls.store.file_reader import FileOpener
    from imgcls.store.storage import make_storage_of_run
    from imgcls.training import model_file

    path = folder / "experiment.yaml"
    path.write_text(EXPERIMENT.format(folder=folder / "photos", model=model, batch=BATCH))
    experiment = read_experiment(path)
    images = keras.Input((224, 224, 3), dtype="uint8")
    problem = Problem(1000, [120.0] * 3, [60.0] * 3, 0)
    logits = parts.load_for("models", experiment.model).build(experiment.model, images, problem)
    plain = model_file.make_plain_model(keras.Model(images, logits))
    serving = model_file.make_serving_model(plain, 1.0)
    geometry = Geometry((224, 224, 3), "crop")
    opener = FileOpener(make_storage_of_run(experiment.data, 3), geometry, 100.0)
    classes = [f"class {number}" for number in range(1000)]
    classifier = Classifier(LoadedModel(serving, classes, opener, ""), experiment)
    maker = RowMaker(classes, PredictOptions(), None)
    compiled = CompiledModel(serving, BATCH)
    batch = numpy.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), numpy.uint8)

    def predict_files() -> None:
        with Path(os.devnull).open("wb") as stream:
            writer = CsvWriter(stream, maker)
            for found in classifier.predict_files(Inputs(paths)):
                writer.write(maker.make(found.inputs, found.probabilities))

    def predict_batches() -> None:
        for _ in range(BATCHES):
            compiled.predict(batch)

    return predict_files, predict_batches


def _measure(*functions: Callable[[], None]) -> float:
    """Return the median ratio of the speeds of two functions, which take turns."""
    seconds: list[list[float]] = []
    for _ in range(ROUNDS + 1):  # the first round compiles, and starts data workers
        seconds.append([])
        for function in functions:
            start = time.perf_counter()
            function()
            seconds[-1].append(time.perf_counter() - start)
    for files, bare in seconds[1:]:
        rates = [BATCHES * BATCH / each for each in (files, bare)]
        print(f"predict: {rates[0]:.1f} images/s, bare {rates[1]:.1f}", file=sys.stderr)
    return statistics.median(bare / files for files, bare in seconds[1:])


def _measure_memory(folder: Path) -> list[float]:
    """Return the largest memory, in MiB, of processes that predict some and many small files."""
    import numpy
    from PIL import Image

    (folder / "digits.yaml").write_text(DIGITS)
    run: dict[str, Any] = {"cwd": folder, "check": True, "capture_output": True}
    command = [sys.executable, "-m", "imgcls.cli"]
    for words in (["prepare", "digits.yaml"], ["train", "digits.yaml", "--run", "run"]):
        subprocess.run([*command, *words], **run)
    image = Image.fromarray(numpy.arange(28 * 28, dtype=numpy.uint8).reshape(28, 28))
    image.save(folder / "image.png")
    peaks = []
    for count in FILES:
        files = folder / f"{count}"
        files.mkdir()
        for number in range(count):
            if number % 10_000 == 0:  # a file has a limited number of links
                source = files / f"{number:06d}.png"
                source.write_bytes((folder / "image.png").read_bytes())
            else:
                os.link(source, files / f"{number:06d}.png")
        words = ["predict", "run", files.name, "--output", "rows.csv"]
        start = time.perf_counter()
        peaks.append(_run_and_measure([*command, *words], folder))
        rate = count / (time.perf_counter() - start)
        print(f"predict: {count:,} small files, {rate:,.0f} images/s in all", file=sys.stderr)
    return peaks


def _run_and_measure(command: list[str], folder: Path) -> float:
    """Run a command in a process of its own; return the largest memory of it or a child, in MiB."""
    program = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return int(done.stdout) / 1024  # Linux counts in KiB


if __name__ == "__main__":
    print_ratios(measure_ratios())
