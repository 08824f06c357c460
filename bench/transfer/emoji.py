"""Emoji of a vendor that no training image is of, with ImageNet weights and without.

    npm pack emoji-datasource-google emoji-datasource-twitter emoji-datasource-facebook \
emoji-datasource-apple
    python -m bench.transfer.emoji FOLDER            # with these four archives; measures
    python -m bench.transfer.emoji FOLDER --choose   # how the settings were chosen

The classes are the categories of the emoji. The settings were chosen with one of the three training
vendors held out as the validation split.
"""

import argparse
import csv
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from bench.transfer import _measure, _tables

TRAINING, CHOICE, TEST = ("google", "twitter", "facebook"), "facebook", "apple"
"""The vendors of the training images, the one of them that is held out for the choice, and that of
the test images."""
LEFT_OUT = ("Component", "Flags")
"""Categories that are left out: parts of emoji, and flags, which are nearly the same images for all
vendors."""
SEEDS = (0, 1, 2)
METHODS = {
    "probe": ("emoji", "train.epochs=0"),
    "fine-tuning": ("emoji",),
    "scratch": ("emoji_scratch",),
    "small": ("emoji_small",),
}
"""The experiment of each method, and what it sets."""
TITLES = {
    "scratch": "EfficientNet-Lite0, random weights",
    "small": "small network, random weights",
    "probe": "EfficientNet-Lite0, linear probe alone",
    "fine-tuning": "EfficientNet-Lite0, linear probe, then fine-tuning",
}
PAIRS = (("scratch", "fine-tuning"), ("small", "fine-tuning"), ("probe", "fine-tuning"))
TASK = "emoji"
HERE = Path(__file__).parent
RESULTS = HERE / "emoji.json"
DATA, RUNS = Path("data/transfer/emoji"), Path("runs/transfer")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with the archives of the four vendors")
    parser.add_argument("--choose", action="store_true", help="measure on validation instead")
    options = parser.parse_args(arguments)
    rows = []
    for vendor in (*TRAINING, TEST):
        (archive,) = options.folder.glob(f"emoji-datasource-{vendor}-*.tgz")
        rows += extract(archive, vendor)
    write_list(rows, DATA / "emoji.csv", None)
    write_list(rows, DATA / "choice.csv", CHOICE)
    if options.choose:
        choose()
    else:
        measure()


def extract(archive: Path, vendor: str) -> list[tuple[str, str, str]]:
    """Write the images of a vendor; return path, category and vendor of each.

    Skin tones are not emoji of their own in the list that an archive has, so they are left out.
    """
    rows = []
    (DATA / vendor).mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as files:
        content = {each.name: each for each in files.getmembers()}
        for emoji in json.load(files.extractfile(content["package/emoji.json"])):
            member = content.get(f"package/img/{vendor}/64/{emoji['image']}")
            if member is None or emoji["category"] in LEFT_OUT:
                continue
            path = f"{vendor}/{emoji['image']}"
            if not (DATA / path).exists():
                (DATA / path).write_bytes(files.extractfile(member).read())
            rows.append((path, emoji["category"], vendor))
    return rows


def write_list(rows: Sequence[tuple[str, str, str]], path: Path, held_out: str | None) -> None:
    """Write the list of images: a vendor is a group, so that the probe is chosen by vendor.

    Args:
        rows: path, category and vendor of each image.
        held_out: the vendor of the validation split; None for none.
    """
    splits = {TEST: "test", held_out: "validation"}
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("path", "label", "split", "group"))
        writer.writerows(
            (image, label, splits.get(vendor, "train"), vendor) for image, label, vendor in rows
        )


def list_arguments(method: str, seed: int) -> list[str]:
    """Return the arguments of `imgcls train`, and of `imgcls prepare`, for a method."""
    name, *settings = METHODS[method]
    path = (HERE / f"{name}.yaml").relative_to(Path.cwd())
    words = [f"seed={seed}", "data.split_seed=0", *settings]
    return [str(path), *(word for each in words for word in ("--set", each))]


def measure() -> None:
    """Train all methods with each seed, compare them, and print the tables."""
    measured = _measure.Measurements(RESULTS, RUNS)
    for seed in SEEDS:
        for method in METHODS:
            _measure.run("prepare", *list_arguments(method, seed))
            measured.train(TASK, method, seed, list_arguments(method, seed))
        for old, new in PAIRS:
            measured.compare(TASK, old, new, seed)
        for method in METHODS:
            measured.collect(TASK, method, seed)
    print(_tables.format_tables(measured.results, TASK, TITLES))


def choose() -> None:
    """Print the accuracy of each method on the vendor that is held out for the choice."""
    for method in METHODS:
        arguments = [*list_arguments(method, 0), "--set", f"data.path={DATA / 'choice.csv'}"]
        _measure.run("prepare", *arguments)
        folder = RUNS / f"{TASK}-choice-{method}"
        seconds = _measure.run_timed("train", *arguments, "--run", str(folder))
        found = _measure.run("eval", str(folder), "--split", "validation")
        print(f"{method}: {found['metrics']['accuracy']:.3f}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
