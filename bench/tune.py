"""The cost and the use of a search.

`python -m bench.tune overhead` measures what a trial costs beyond one start of `imgcls train`, with
`cnn` at 5 epochs. `python -m bench.tune compare FOLDER` searches on the files of Fashion-MNIST
by TPE with pruning, and by random search with as many epochs of training, three times each, and
compares what they found with the default on the test split; `--trials`, `--epochs`, `--images`,
`--repetitions` and `--seeds` make it smaller. Runs are kept below runs/bench, and the same command
continues.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
ROUNDS = 3
TRIALS = 3
"""Trials of the longer search whose time is measured."""
EPOCHS = 5
FOLDER = Path("runs/bench")
SPACE = {
    "train.optimizer.learning_rate": {"low": 1e-4, "high": 3e-2, "log": True},
    "train.optimizer.weight_decay": {"low": 1e-5, "high": 1e-1, "log": True},
    "train.batch_size": [32, 64, 128, 256],
    "model.dropout": {"low": 0, "high": 0.6},
}
"""What the comparison searches."""
SEARCHES: dict[str, dict[str, Any]] = {
    "tpe_pruning": {"sampler": "tpe", "pruner": "asha"},
    "random": {"sampler": "random"},
}


def run(*arguments: object) -> str:
    """Run a command of imgcls; return what it printed."""
    words = [sys.executable, "-m", "imgcls.cli", *map(str, arguments)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


class Seconds(NamedTuple):
    """What a command takes."""

    wall: float
    cpu: float
    """Seconds of processors, of all its processes together."""


def measure(*arguments: object) -> Seconds:
    """Run a command of imgcls; return what it took."""
    before, start = os.times(), time.perf_counter()
    run(*arguments)
    wall, after = time.perf_counter() - start, os.times()
    user, system = (
        after.children_user - before.children_user,
        after.children_system - before.children_system,
    )
    return Seconds(wall, user + system)


def measure_ratios() -> list[tuple[str, float, str]]:
    """Compare a further trial of a search with the same training by `imgcls train`, in turns.

    A search starts once and draws its page once; so the time of a trial is that by which a search
    of `TRIALS` takes longer than one of a single trial.
    """
    experiment = ROOT / "configs" / "digits.yaml"
    base = ["--set", "model={name: cnn}", "--set", f"train.epochs={EPOCHS}"]
    run("prepare", experiment)
    stamp = f"{time.time():.0f}"

    def search_digits(name: str, trials: int) -> Seconds:
        space = "{train.optimizer.learning_rate: [0.0010, 0.0011, 0.0012]}"
        section = f"tune={{space: {space}, sampler: grid, trials: {trials}}}"
        return measure("tune", experiment, *base, "--set", section, "--study", FOLDER / name)

    trains, ones, several = [], [], []
    for i in range(ROUNDS):
        trains.append(measure("train", experiment, *base, "--run", FOLDER / f"train-{stamp}-{i}"))
        ones.append(search_digits(f"one-{stamp}-{i}", 1))
        several.append(search_digits(f"several-{stamp}-{i}", TRIALS))
    rows = []
    for kind in Seconds._fields:
        train, one, more = (
            statistics.median(getattr(each, kind) for each in measured)
            for measured in (trains, ones, several)
        )
        trial = (more - one) / (TRIALS - 1)
        print(
            f"tune: {kind} seconds of a training {train:.2f}, of a trial {trial:.2f}, of the start"
            f" and the page of a search {one - trial:.2f}",
            file=sys.stderr,
        )
        name = f"{kind} seconds of a trial of imgcls tune / of imgcls train, cnn, {EPOCHS} epochs"
        rows.append((name, trial / train, "1.10"))
    return rows


def compare(
    folder: Path, trials: int, epochs: int, images: int | None, repetitions: int, seeds: int
) -> None:
    """Search with equal budgets of training, and print a table.

    Args:
        folder: with the files of Fashion-MNIST.
        trials: of TPE with pruning; random search gets as many as have the same epochs together.
        epochs: of each trial.
        images: the largest number of images of a split; None for all.
        repetitions: of each search, with other seeds.
        seeds: of the confirmation.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(repetitions):
        experiment = write_experiment(folder, seed, epochs, images)
        run("prepare", experiment)
        budget = None
        for name, settings in SEARCHES.items():
            count = trials if budget is None else max(2, round(budget / epochs))
            where = FOLDER / f"{name}-{seed}-{count}"
            found = search(experiment, settings, where, count, seeds)
            budget = budget or count_epochs(found)
            rows.append({"search": name, "seed": seed, **describe(found)})
            print_row(rows[-1])
    (FOLDER / "compare.json").write_text(json.dumps(rows, indent=2))
    print(format_summary(rows))


def write_experiment(folder: Path, seed: int, epochs: int, images: int | None) -> Path:
    """Write the experiment of a repetition."""
    limit = "" if images is None else f", max_images: {images}"
    path = FOLDER / f"fashion-{seed}.yaml"
    path.write_text(
        f"name: bench_fashion_{seed}\nseed: {100 * seed}\n"
        f"data: {{name: fashion_mnist, path: {folder}, split_seed: 0{limit}}}\n"
        "model: {name: cnn, filters: [16, 32], dense: [64]}\n"
        f"train: {{epochs: {epochs}, schedule: {{name: cosine, warmup: 5%}}}}\n"
    )
    return path


def search(
    experiment: Path, settings: dict[str, Any], where: Path, trials: int, seeds: int
) -> dict[str, Any]:
    """Search, and confirm the best on other seeds; return study.json."""
    section = json.dumps({"space": SPACE, "trials": trials, **settings})
    words = ["--set", f"tune={section}", "--study", where, "--confirm", seeds, "--json"]
    found: dict[str, Any] = json.loads(run("tune", experiment, *words))
    return found


def count_epochs(found: dict[str, Any]) -> int:
    """Return the epochs that all trials of a search trained."""
    folder = Path(found["study"]) / "trials"
    logs = [folder / str(trial["number"]) / "log.jsonl" for trial in found["trials"]]
    return sum(len(log.read_text().splitlines()) for log in logs if log.exists())


def describe(found: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a search."""
    confirmed = found["confirmation"] or {}
    best = found["trials"][found["best"][0]]
    return {
        "trials": len(found["trials"]),
        "epochs": count_epochs(found),
        "best_val_accuracy": best["values"]["val_accuracy"],
        "default_test": confirmed.get("own_accuracy"),
        "best_test": confirmed.get("best_accuracy"),
        "sentence": confirmed.get("sentence", "the default was the best trial"),
    }


def print_row(row: dict[str, Any]) -> None:
    """Print a row as it is known."""
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def format_summary(rows: Sequence[dict[str, Any]]) -> str:
    """Return the mean and the standard deviation over the repetitions of each search."""
    lines = []
    for name in SEARCHES:
        gains = [
            row["best_test"] - row["default_test"]
            for row in rows
            if row["search"] == name and row["best_test"] is not None
        ]
        spread = f"{statistics.stdev(gains):.4f}" if len(gains) > 1 else "-"
        mean = f"{statistics.fmean(gains):+.4f}" if gains else "-"
        lines.append(f"{name}: test accuracy over the default {mean}, sd {spread}, n {len(gains)}")
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["overhead", "compare"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    if options.what == "overhead":
        for name, measured, target in measure_ratios():
            print(f"{name}: {measured:.3f} (target {target})")
        return
    compare(
        options.folder.resolve(),
        options.trials,
        options.epochs,
        options.images,
        options.repetitions,
        options.seeds,
    )


if __name__ == "__main__":
    main()
