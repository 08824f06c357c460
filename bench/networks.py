"""Time of a training epoch of three networks, compared with `model.fit` and a PyTorch loop.

Run only this benchmark with `python -m bench.networks`.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from bench import epoch, ratios
from bench.ratios import Ratio

if TYPE_CHECKING:
    from imgcls.training.trainer import Trainer

NETWORKS = {
    "cnn": [],
    "speed": ["model=speed"],
    "resnet": ["model={name: resnet, depth: 20}", "data.max_images=12800"],
}
"""The settings of each network beside those of configs/fashion_cnn.yaml."""
TARGETS = {"plain": "<= 0.70", "onednn": "", "torch": "<= 1.00"}
TITLES = {
    "plain": "model.fit, Keras as it comes",
    "onednn": "model.fit, oneDNN switched on",
    "torch": "a plain PyTorch loop",
}


def measure_ratios(folder: Path | None) -> list[Ratio]:
    """Compare epochs with validation, and with the checkpoint that imgcls writes.

    Args:
        folder: with the IDX files of Fashion-MNIST; None for noise.
    """
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        images = folder or epoch.write_noise(Path(temporary))
        for name in NETWORKS:
            place = Path(temporary) / name
            place.mkdir()
            medians = measure_network(name, images, place)
            for method, seconds in medians.items():
                print(f"epoch of {name}: {method} {seconds:.2f} s", file=sys.stderr)
            rows += [
                (f"epoch of {name} / {TITLES[method]}", medians["imgcls"] / seconds, target)
                for method, target in TARGETS.items()
                for seconds in [medians.get(method)]
                if seconds is not None
            ]
    return rows


def measure_network(name: str, folder: Path, temporary: Path) -> dict[str, float]:
    """Return the median seconds per epoch of each method, measured in alternation.

    Args:
        name: of the network.
        folder: with the IDX files of Fashion-MNIST.
        temporary: for the run, the data set and what the workers read.
    """
    trainer, _, store, split = epoch.make_trainer(folder, temporary, NETWORKS[name])
    reader = store.open_reader(split.geometry)
    numpy.savez(
        temporary / "arrays.npz",
        images=reader.read(split.train),
        labels=store.labels[split.train],
        validation_images=reader.read(split.validation),
        validation_labels=store.labels[split.validation],
    )
    parameters = _save_plain_model(trainer, temporary / "network.keras")
    workers = _start_workers(name, temporary)
    for method, worker in workers.items():
        counted = int(worker.stdout.readline())
        if counted != parameters:
            raise RuntimeError(f"{method} has another {name}: {counted}, not {parameters}")
    requests = {method: _make_request(worker) for method, worker in workers.items()}
    methods = {"imgcls": epoch.make_epoch(trainer), **requests}
    medians = ratios.measure_medians(methods, epoch.ROUNDS)
    for worker in workers.values():
        worker.communicate()
    return medians


def _save_plain_model(trainer: "Trainer", path: Path) -> int:
    """Save the network with Keras's own layers; return the number of its parameters."""
    from imgcls.training.model_file import make_plain_model

    plain = make_plain_model(trainer.model)
    plain.save(path)
    return sum(numpy.prod(variable.shape) for variable in plain.trainable_variables)


def _start_workers(name: str, folder: Path) -> dict[str, subprocess.Popen]:
    """Start a process for each method beside imgcls; say so if there is no PyTorch."""
    environment = {
        key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"
    }
    with_onednn = {**environment, "TF_ENABLE_ONEDNN_OPTS": "1"}
    workers = {
        "plain": _start_worker("bench.keras_fit", folder, [], environment),
        "onednn": _start_worker("bench.keras_fit", folder, [], with_onednn),
    }
    if importlib.util.find_spec("torch"):
        workers["torch"] = _start_worker("bench.torch_loop", folder, [name], environment)
    else:
        print(
            f"epoch of {name}: not compared with PyTorch, which is not installed; run pip install"
            " torch",
            file=sys.stderr,
        )
    return workers


def _start_worker(
    module: str, folder: Path, arguments: list[str], environment: dict[str, str]
) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", module, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def _make_request(worker: subprocess.Popen) -> Callable[[], None]:
    """Return a function that makes a worker train one epoch."""

    def run() -> None:
        worker.stdin.write("epoch\n")
        worker.stdin.flush()
        float(worker.stdout.readline())

    return run


def main() -> None:
    """Print the ratios; the first argument may be a folder with the files of Fashion-MNIST."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    ratios.print_ratios(measure_ratios(folder))


if __name__ == "__main__":
    main()
