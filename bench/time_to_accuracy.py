"""CPU time of configs/fashion_fast.yaml, compared with Keras's tutorial up to the same accuracy.

    python -m bench.time_to_accuracy FOLDER [--accuracy 0.91] [--rounds 3] [--set KEY=VALUE]...

FOLDER has the IDX files of Fashion-MNIST. In turns, whole processes are run: `imgcls train` in a
new run folder, and bench/tutorial_network.py until its validation accuracy is high enough, with
oneDNN switched on, on the same training and validation split. A process counts from its start to
its end, with its imports, its children, and all files that it writes. Preparing the data, which is
done once for both, does not count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from bench.ratios import Ratio

CONFIG = "configs/fashion_fast.yaml"
ACCURACY = 0.91
ROUNDS = 3


@dataclass(frozen=True)
class Measured:
    """A process that has ended.

    Attributes:
        cpu_seconds: of the process and its children, user and system.
        seconds: from its start to its end.
        output: what it printed, read as JSON.
    """

    cpu_seconds: float
    seconds: float
    output: dict[str, Any]


@dataclass(frozen=True)
class Round:
    """A training of ours, and then one of the tutorial's network."""

    ours: Measured
    tutorial: Measured

    @property
    def val_accuracy(self) -> float:
        """The validation accuracy of our model, 0..1."""
        return self.ours.output["selected"]["val_accuracy"]

    @property
    def ratio(self) -> float:
        """Our CPU seconds divided by those of the tutorial's network."""
        return self.ours.cpu_seconds / self.tutorial.cpu_seconds


def measure_ratios(
    folder: Path, accuracy: float = ACCURACY, count: int = ROUNDS, overrides: Sequence[str] = ()
) -> list[Ratio]:
    """Return the median ratio of CPU seconds; print all numbers of each round.

    Args:
        folder: with the IDX files of Fashion-MNIST.
        accuracy: on the validation split, up to which the tutorial's network is trained, 0..1.
        count: of rounds, each with a seed of its own; all share one split.
        overrides: further settings of the experiment, such as fewer images.
    """
    with tempfile.TemporaryDirectory() as temporary:
        settings = [
            f"data.path={folder}",
            f"data.store_dir={temporary}/data",
            "data.split_seed=0",
            *overrides,
        ]
        arrays = _prepare(settings, Path(temporary))
        rounds = []
        for seed in range(count):
            ours = measure(_make_command([*settings, f"seed={seed}"], Path(temporary) / f"{seed}"))
            tutorial = [sys.executable, "-m", "bench.tutorial_network", str(arrays), str(accuracy)]
            rounds.append(Round(ours, measure(tutorial)))
            print(_describe(rounds[-1], accuracy), file=sys.stderr, flush=True)
    for problem in find_problems(rounds, accuracy):
        print(f"time to accuracy: {problem}", file=sys.stderr)
    name = f"fashion_fast / Keras's tutorial up to validation accuracy {accuracy:g}, CPU seconds"
    return [(name, statistics.median(each.ratio for each in rounds), "")]


def find_problems(rounds: Sequence[Round], accuracy: float) -> list[str]:
    """Return what keeps the ratio from comparing trainings to the same accuracy."""
    unreached = [each.tutorial.output for each in rounds if not each.tutorial.output["reached"]]
    low = [each.val_accuracy for each in rounds if each.val_accuracy < accuracy]
    problems = []
    if unreached:
        best = max(each["val_accuracy"] for each in unreached)
        problems.append(
            f"in {len(unreached)} of {len(rounds)} rounds, the tutorial's network did not reach"
            f" {accuracy:g} within {unreached[0]['epochs']} epochs (best {best:.4f}); its time to"
            " that accuracy is longer, and the ratio lower"
        )
    if low:
        problems.append(
            f"in {len(low)} of {len(rounds)} rounds, fashion_fast did not reach {accuracy:g}"
            f" (worst {min(low):.4f}); the ratio compares trainings to different accuracies"
        )
    return problems


def _describe(measured: Round, accuracy: float) -> str:
    ours, tutorial = measured.ours, measured.tutorial
    found = tutorial.output
    return (
        f"time to accuracy {accuracy:g}: fashion_fast {ours.cpu_seconds:.1f} s of CPU,"
        f" {ours.seconds:.1f} s, val_accuracy {measured.val_accuracy:.4f}; tutorial"
        f" {tutorial.cpu_seconds:.1f} s of CPU, {tutorial.seconds:.1f} s, val_accuracy"
        f" {found['val_accuracy']:.4f} in {found['epochs']} epochs; ratio {measured.ratio:.3f};"
        " preparing the data does not count"
    )


def _prepare(settings: list[str], folder: Path) -> Path:
    """Prepare the data, and return a file with the pixels and labels of both splits."""
    from imgcls.experiment_file import read_experiment
    from imgcls.store.lookup import find_store
    from imgcls.verbs.prepare import prepare

    experiment = read_experiment(Path(CONFIG), settings)
    prepare(experiment)
    store, split = find_store(experiment)
    reader = store.open_reader(split.geometry)
    path = folder / "arrays.npz"
    numpy.savez(
        path,
        images=reader.read(split.train),
        labels=store.labels[split.train],
        validation_images=reader.read(split.validation),
        validation_labels=store.labels[split.validation],
    )
    return path


def _make_command(settings: list[str], run: Path) -> list[str]:
    overrides = [word for each in settings for word in ("--set", each)]
    command = [sys.executable, "-m", "imgcls.cli", "train", CONFIG, *overrides]
    return [*command, "--run", str(run), "--json"]


def measure(command: list[str]) -> Measured:
    """Run a command with oneDNN, as imgcls does by itself; measure the whole process.

    Raises:
        RuntimeError: it failed.
    """
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")
    return Measured(usage.ru_utime + usage.ru_stime, seconds, json.loads(output))


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with the IDX files of Fashion-MNIST")
    parser.add_argument("--accuracy", type=float, default=ACCURACY, help="of the tutorial, 0..1")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    for name, measured, target in measure_ratios(
        given.folder, given.accuracy, given.rounds, given.set
    ):
        print(f"{name:<92}  {measured:>8.3f}  {target}")


if __name__ == "__main__":
    main()
