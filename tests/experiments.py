"""Experiments and command lines that tests are written with."""

import contextlib
import json
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from imgcls import __version__, parts
from imgcls.config import Experiment
from imgcls.datasets import DataSettings, Entry, Source
from imgcls.environment import Runtime, get_versions
from imgcls.experiment_file import read_experiment
from imgcls.image.decode import Geometry
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.store import writer
from imgcls.store.manifest import DataDescription
from imgcls.store.reader import PixelReader
from imgcls.store.store import Store
from imgcls.training import history
from imgcls.training.history import EpochLog
from imgcls.training.model_description import ModelDescription
from imgcls.training.temperature import Calibration

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"name": "digits"},
    "model": {"name": "cnn", "filters": [4], "dense": [8]},
    "train": {"epochs": 2, "batch_size": 256, "steps_per_execution": 2},
}
"""The smallest experiment that trains: 1,293 digits in 6 steps an epoch."""


RICH = (
    "augment=[{name: random_crop, padding: 1}]",
    "model.batch_norm=true",
    "train.schedule={name: cosine, warmup: 20%}",
)
"""Everything that has state or chance: augmentation, batch norm, dropout, a schedule."""
SGD = "{name: sgd, learning_rate: %s}"
FLOAT64 = (
    "train.precision=float64",
    "model.l2=1.0e-4",
    f"train.optimizer={SGD % 0.1}",
)
MIRRORED = "train.strategy={name: mirrored, replicas: 2}"


def write_experiment(folder: Path, content: dict[str, Any], name: str = "experiment.yaml") -> Path:
    """Write an experiment file."""
    path = folder / name
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def experiment(folder: Path, *overrides: str) -> Experiment:
    """Return the tiny experiment with overrides such as `train.epochs=3`."""
    return read_experiment(write_experiment(folder, TINY), list(overrides))


def command(*arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process; return its exit code, stdout and stderr."""
    from typer.testing import CliRunner

    from imgcls.cli.main import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def json_of(*arguments: object) -> Any:
    """Run a command that must succeed with --json; return what it printed."""
    exit_code, stdout, stderr = command(*arguments, "--json")
    if exit_code:
        raise RuntimeError(f"{arguments} exited with {exit_code}: {stderr}")
    return json.loads(stdout)


def log_without_times(run: Run) -> list[dict[str, Any]]:
    """Return the epochs of a run, without what differs from run to run."""
    return [epoch.model_dump(exclude=history.TIMES) for epoch in run.log]


def make_runtime(**changes: Any) -> Runtime:
    """Return what surrounds a process on a machine without GPUs, in which no variable is set."""
    return Runtime.model_validate(
        {
            "versions": get_versions(),
            "libraries": {},
            "gpus": [],
            "processor": "CPU",
            "cores": 2,
            "intra_op_threads": 0,
            "inter_op_threads": 0,
            "tensorfloat32": False,
            "variables": {},
            **changes,
        }
    )


def make_epoch(**changes: Any) -> EpochLog:
    """Return a line of a log; its stages take no time unless they are given."""
    stages = dict.fromkeys(history.STAGES, 0.0) | changes.pop("stage_seconds", {})
    numbers = {
        "epoch": 1,
        "step": 10,
        "loss": 1.0,
        "accuracy": 0.5,
        "val_loss": 1.0,
        "val_accuracy": 0.5,
        "train_mode_loss": 1.0,
        "eval_mode_loss": 1.0,
        "learning_rate": 0.001,
        "image_size": [8, 8],
        "frozen_layers": 0,
        "trained_parameters": 1000,
        "seconds": 1.5,
        "images_per_second": 1000.0,
        "input_wait": 0.01,
        "steps_per_execution": 16,
    }
    return EpochLog.model_validate({**numbers, "stage_seconds": stages, **changes})


def describe_data(run: Run, classes: list[str], sizes: dict[str, int]) -> None:
    """Write a run's data.json, in which all images are of the first class and no store exists."""
    rest = [0] * (len(classes) - 1)
    counts = {name: [size, *rest] for name, size in sizes.items()}
    description = DataDescription(
        dataset="digits",
        fingerprint="f" * 64,
        split="s" * 16,
        split_sha256="5" * 64,
        classes=classes,
        shape=(8, 8, 1),
        sizes=sizes,
        class_counts=counts,
        mean=[100.0],
        std=[50.0],
    )
    write_record(run.data_file, description)


def describe_model(
    classes: list[str], shape: tuple[int, ...], resize: str = "stretch", temperature: float = 1.0
) -> ModelDescription:
    """Return the description of a model, as model.keras has it."""
    calibration = Calibration(
        temperature=temperature, images=9, log_loss_before=0.5, log_loss_after=0.4, reason=None
    )
    return ModelDescription(
        classes=classes,
        shape=shape,
        resize=resize,
        calibration=calibration,
        soup=None,
        fingerprint="f" * 64,
        imgcls=__version__,
    )


def change_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file, as no program would."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def assert_same_result(one: Run, other: Run) -> None:
    """Compare the log and every byte of the model."""
    assert log_without_times(one) == log_without_times(other)
    assert one.model_file.read_bytes() == other.model_file.read_bytes()


def source_of(images: Any, entries: list[Entry], classes: list[str], **fields: Any) -> Source:
    """Return a source of pixels of one shape."""
    return Source(
        classes,
        entries,
        lambda place: images[place],
        fields.pop("version", "1"),
        shape=images.shape[1:],
        **fields,
    )


def stored(folder: Path, source: Source, name: str = "toy") -> Store:
    """Return the store of a source of pixels."""
    return writer.find_or_write(source, DataSettings(name=name, store_dir=str(folder)))[0]


def as_they_are(images: Any) -> PixelReader:
    """Return a reader of pixels, uint8 (n, height, width, channels), at their own size."""
    return read_pixels(images, Geometry(images.shape[1:], "stretch"))


def read_pixels(images: Any, geometry: Geometry) -> PixelReader:
    """Return a reader of pixels, uint8 (n, height, width, channels), from a file without a name."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(images.tobytes())
        file.flush()
        return PixelReader(Path(file.name), images.shape[1:], geometry)


def stored_pixels(store: Store) -> Any:
    """Return all images of a store of pixels, as they are stored."""
    import numpy

    return store.open_reader(Geometry(store.shape, "stretch")).read(numpy.arange(store.count))


def cross_entropy(targets: Any, logits: Any) -> Any:
    """Return what the default loss makes of targets and logits."""
    part = parts.load("losses", "cross_entropy")
    return part.compute(part.Settings(name="cross_entropy"), targets, logits)


def free_addresses(count: int) -> tuple[str, ...]:
    """Return addresses of this machine whose ports are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)


def wait_for_a_step_inside_an_epoch(process: subprocess.Popen, folder: Path) -> None:
    """Wait until a process, or one that it started, has saved a state of digits in batches of 64 in
    the middle of an epoch.

    Raises:
        RuntimeError: the process ended, or none was seen in two minutes.
    """
    run, deadline = Run(folder), time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if run.status_file.exists() and run.status.step % 21:
            return
        time.sleep(0.001)
    process.kill()
    raise RuntimeError(
        f"no step inside an epoch was seen in {folder}: {process.communicate(timeout=10)}"
    )


def weights(run: Run) -> list[Any]:
    """Return the arrays of a run's model."""
    from imgcls.backend import keras

    return keras.models.load_model(run.model_file, compile=False).get_weights()


def data_workers(parent):
    """Return the data workers of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # a process that has just ended
            if (
                f"PPid:\t{parent}\n" in (folder / "status").read_text()
                and b"imgcls.store.data_workers" in (folder / "cmdline").read_bytes()
            ):
                found.append(int(folder.name))
    return found
