"""Accuracy, size and latency of compressed runs, for docs/compressing.md.

    python -m bench.compression FOLDER    # with the files of Fashion-MNIST

Trains a network with three seeds, compresses each run by each method, and prints tables: how the
test accuracy differs, averaged over the seeds, with the paired bootstrap interval over the test
images; and how size and latency change. The same command continues what was interrupted. It needs
the extra `litert`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy

from bench.transfer._measure import run as run_command
from imgcls import parts
from imgcls.comparison.paired_bootstrap import bootstrap_differences
from imgcls.compression.table_record import CompressionTable
from imgcls.evaluation import predictions
from imgcls.io.records import read_record
from imgcls.run import Run

EXPERIMENT = Path(__file__).with_suffix(".yaml").relative_to(Path.cwd())
RUNS = Path("runs/compression")
SEEDS = (0, 1, 2)
STUDENT = "{name: speed, filters: [16, 24, 40, 64]}"
"""Less than a tenth of the teacher's weights."""
PRUNE = ["method=prune", "multiply_adds=50%", "steps=3", "epochs=6", "learning_rate_factor=0.3"]
METHODS = {
    "int8": ["method=quantize", "type=int8"],
    "dynamic": ["method=quantize", "type=dynamic"],
    "float16": ["method=quantize", "type=float16"],
    "fine-tuned": [*PRUNE, "multiply_adds=100%"],
    "pruned": [*PRUNE, "score=batch_norm"],
    "pruned, l1": [*PRUNE, "score=l1"],
    "pruned, random": [*PRUNE, "score=random"],
    "distilled": ["method=distill", f"student={STUDENT}"],
}
"""The method of each compressed run, and its settings."""
PAIRS = [
    ("int8", "original"),
    ("dynamic", "original"),
    ("float16", "original"),
    ("pruned", "original"),
    ("pruned", "fine-tuned"),
    ("pruned, l1", "fine-tuned"),
    ("pruned, random", "fine-tuned"),
    ("pruned", "pruned, random"),
    ("distilled", "original"),
    ("distilled", "student alone"),
]
"""What is compared: new, and old."""
SAMPLES = 2000


class Difference(NamedTuple):
    """A difference in test accuracy, averaged over the seeds."""

    old: float
    new: float
    low: float
    high: float
    agreement: float
    """The fraction of the images for which both predict the same class."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with the files of Fashion-MNIST")
    data = f"data.path={parser.parse_args(arguments).folder}"
    run_command("prepare", str(EXPERIMENT), "--set", data)
    for seed in SEEDS:
        train("original", seed, data)
        train("student alone", seed, data, f"model={STUDENT}")
        for name in METHODS:
            compress(name, seed)
    print(format_tables())


def get_folder(name: str, seed: int) -> Path:
    """Return the folder of a run."""
    return RUNS / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"


def train(name: str, seed: int, *settings: str) -> None:
    """Train a run and evaluate it, unless that was done."""
    folder = get_folder(name, seed)
    words = [word for each in (f"seed={seed}", *settings) for word in ("--set", each)]
    if not Run(folder).metrics_file("test").exists():
        run_command("train", str(EXPERIMENT), "--run", str(folder), *words)
        run_command("eval", str(folder))


def compress(name: str, seed: int) -> None:
    """Compress the original of a seed, unless that was done."""
    folder = get_folder(name, seed)
    if Run(folder).compression_table_file.exists():
        return
    method, *settings = METHODS[name]
    words = [word for each in settings for word in ("--set", f"compress.0.{each}")]
    original = str(get_folder("original", seed))
    method = method.partition("=")[2]
    run_command("compress", original, "--method", method, "--run", str(folder), *words)


def format_tables() -> str:
    """Return the results as tables of Markdown."""
    lines = [
        "| new | old | test accuracy of old | of new | difference | interval | agreement |",
        "|---|---|---|---|---|---|---|",
    ]
    for new, old in PAIRS:
        found = compare(new, old)
        lines.append(
            f"| {new} | {old} | {found.old:.4f} | {found.new:.4f} | {found.new - found.old:+.4f}"
            f" | {found.low:+.4f} to {found.high:+.4f} | {found.agreement:.4f} |"
        )
    lines += [
        "",
        "| run / original | size | parameters | multiply-adds | latency of 1 | of 64 | runtime |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in METHODS:
        tables = [read_table(name, seed) for seed in SEEDS]
        fields = ("bytes", "parameters", "multiply_adds", "milliseconds_1", "milliseconds_64")
        ratios = [
            numpy.mean([getattr(each.after, key) / getattr(each.before, key) for each in tables])
            for key in fields
        ]
        cells = " | ".join(f"{ratio:.3f}" for ratio in ratios)
        lines.append(f"| {name} | {cells} | {tables[0].runtime} |")
    return "\n".join(lines)


def read_table(name: str, seed: int) -> CompressionTable:
    """Return the table of a compressed run."""
    path = Run(get_folder(name, seed)).compression_table_file
    return read_record(path, CompressionTable, "delete the run to compress again")


def compare(new: str, old: str) -> Difference:
    """Compare the predictions of two kinds of runs on the test split."""
    both = [
        [predictions.load(Run(get_folder(name, seed)), "test") for seed in SEEDS]
        for name in (old, new)
    ]
    (intervals,) = bootstrap_differences(
        both, [parts.make_default_settings("metrics", "accuracy")], SAMPLES, 0.95, seed=0
    )
    low, high = intervals["accuracy"] or (numpy.nan, numpy.nan)
    accuracies = [
        float(numpy.mean([(each.predicted == each.labels).mean() for each in runs]))
        for runs in both
    ]
    agreement = numpy.mean(
        [(a.predicted == b.predicted).mean() for a, b in zip(*both, strict=True)]
    )
    return Difference(*accuracies, low, high, float(agreement))


if __name__ == "__main__":
    main()
