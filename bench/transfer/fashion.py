"""New classes of Fashion-MNIST from 20 images each, with a run on the other classes or without.

    python -m bench.transfer.fashion FOLDER            # with the files of Fashion-MNIST; measures
    python -m bench.transfer.fashion FOLDER --choose   # how the learning rates were chosen

Each draw has other training images; all are tested on the 3,000 test images of the three classes.
The learning rates were chosen on a draw of their own, by validation images that no other draw uses.
"""

import argparse
import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy

from bench.transfer import _measure, _tables
from imgcls.datasets import Source, fashion_mnist

TASK = "shoes"
NEW = ("Sneaker", "Bag", "Ankle boot")
"""The classes that are new: the last three."""
IMAGES = 20
"""Training images of each class."""
DRAWS = (1, 2, 3, 4, 5)
CHOICE_DRAW, CHOICE_IMAGES = 0, 300
"""The draw on which the learning rates were chosen, and its validation images of each class."""
RATES = {"scratch": ("3e-4", "1e-3", "3e-3"), "fine-tuning": ("1e-4", "3e-4", "1e-3")}
"""The learning rates that were tried."""
TITLES = {
    "scratch": "random weights",
    "probe": "linear probe alone",
    "fine-tuning": "linear probe, then fine-tuning",
}
CHOSEN = {"scratch": "1e-3", "fine-tuning": "1e-3"}
"""Those with the highest validation accuracy."""
HERE = Path(__file__).parent
RESULTS = HERE / "fashion.json"
DATA, RUNS = Path("data/transfer/shoes"), Path("runs/transfer")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with the files of Fashion-MNIST")
    parser.add_argument("--choose", action="store_true", help="compare the learning rates")
    options = parser.parse_args(arguments)
    settings = fashion_mnist.Settings(name="fashion_mnist", path=str(options.folder))
    source = fashion_mnist.prepare(settings)
    DATA.mkdir(parents=True, exist_ok=True)
    write_arrays(source, [each for each in source.classes if each not in NEW], DATA / "old.npz")
    labels = write_arrays(source, NEW, DATA / "new.npz")
    for draw in (CHOICE_DRAW, *DRAWS):
        write_draw(labels, draw, DATA / f"draw_{draw}.csv")
    if options.choose:
        choose()
    else:
        measure()


def write_arrays(source: Source, names: Sequence[str], path: Path) -> Mapping[str, numpy.ndarray]:
    """Write the images of some classes; return the labels of each split, (images,)."""
    numbers = {source.classes.index(each): number for number, each in enumerate(names)}
    labels, images = {}, {}
    for split in ("train", "test"):
        chosen = [
            (index, numbers[entry.label])
            for index, entry in enumerate(source.entries)
            if entry.split == split and entry.label in numbers
        ]
        images[f"{split}_images"] = numpy.stack([source.read(index) for index, _ in chosen])
        labels[f"{split}_labels"] = numpy.array([label for _, label in chosen])
    if not path.exists():
        numpy.savez(path, classes=numpy.array(names), **images, **labels)
    return labels


def write_draw(labels: Mapping[str, numpy.ndarray], draw: int, path: Path) -> None:
    """Write which images a draw trains on, as `data.splits_file` reads it.

    The images of a class are shuffled. The first ones of the order, the same in each draw, are the
    validation images of the choice; the others are drawn from.
    """
    splits = numpy.full(len(labels["train_labels"]), "unused", dtype="U10")
    for label in numpy.unique(labels["train_labels"]):
        images = numpy.flatnonzero(labels["train_labels"] == label)
        images = numpy.random.default_rng(0).permutation(images)
        held_out, rest = images[:CHOICE_IMAGES], images[CHOICE_IMAGES:]
        splits[numpy.random.default_rng(draw).permutation(rest)[:IMAGES]] = "train"
        if draw == CHOICE_DRAW:
            splits[held_out] = "validation"
    rows = [(f"train_images/{index:07d}", split) for index, split in enumerate(splits)]
    rows += [(f"test_images/{index:07d}", "test") for index in range(len(labels["test_labels"]))]
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("id", "split"), *rows])


def list_arguments(method: str, draw: int, rate: str | None) -> list[str]:
    """Return the arguments of `imgcls train`, and of `imgcls prepare`, for a method."""
    settings = [
        f"data.path={DATA / 'new.npz'}",
        f"data.splits_file={DATA / f'draw_{draw}.csv'}",
        f"seed={draw}",
    ]
    if method != "scratch":
        settings += [f"model.weights={RUNS / f'{TASK}-old-0'}", "train.head_init=linear_probe"]
    settings += [f"train.optimizer.learning_rate={rate}"] if rate else ["train.epochs=0"]
    path = (HERE / "fashion_new.yaml").relative_to(Path.cwd())
    return [str(path), *(word for each in settings for word in ("--set", each))]


def train_old(measured: _measure.Measurements) -> None:
    """Train the run on the seven old classes."""
    path = (HERE / "fashion_old.yaml").relative_to(Path.cwd())
    arguments = [str(path), "--set", f"data.path={DATA / 'old.npz'}"]
    _measure.run("prepare", *arguments)
    measured.train(TASK, "old", 0, arguments)


def measure() -> None:
    """Train all methods on each draw, compare them, and print the tables."""
    measured = _measure.Measurements(RESULTS, RUNS)
    train_old(measured)
    measured.collect(TASK, "old", 0)
    for draw in DRAWS:
        _measure.run("prepare", *list_arguments("scratch", draw, CHOSEN["scratch"]))
        for method in TITLES:
            arguments = list_arguments(method, draw, CHOSEN.get(method))
            measured.train(TASK, method, draw, arguments)
        for old, new in itertools.combinations(TITLES, 2):
            measured.compare(TASK, old, new, draw)
        for method in TITLES:
            measured.collect(TASK, method, draw)
    print(_tables.format_tables(measured.results, TASK, TITLES))


def choose() -> None:
    """Print the validation accuracy of each learning rate on the draw for that."""
    measured = _measure.Measurements(RESULTS, RUNS)
    train_old(measured)
    _measure.run("prepare", *list_arguments("scratch", CHOICE_DRAW, "1e-3"))
    for method, rates in RATES.items():
        for rate in rates:
            folder = RUNS / f"{TASK}-choice-{method}-{rate}"
            arguments = list_arguments(method, CHOICE_DRAW, rate)
            summary = _measure.run("train", *arguments, "--run", str(folder))
            print(f"{method}, {rate}: {summary['selected']}", flush=True)


if __name__ == "__main__":
    main()
