"""`prepare`: read a data set, check it, store it, split it. Light zone."""

from pathlib import Path
from typing import Any

from imgcls import parts, splitting, store_writer, terminal
from imgcls.config import Experiment
from imgcls.datasets import SPLITS

_FEW = 10


def prepare(experiment: Experiment) -> dict[str, Any]:
    """Prepare an experiment's data, or find that it is prepared already, and report what it holds as JSON values.

    The report is what a run keeps of its data (`Store.describe`), with the store's `folder`, whether it was `reused`, and `bad_images`.

    Raises:
        DataError: the data is missing, broken, or too small to be split.
        UserError: the store cannot be written.
    """
    data, folder = experiment.data, Path(experiment.data.store)
    source = parts.of("datasets", data).prepare(data)
    with store_writer.draft_folder(folder) as temporary:
        draft = store_writer.write(source, data.name, temporary)
        split = splitting.split(draft, data, experiment.seed)
        store, reused = store_writer.commit(draft, folder)
    store.save_split(split)
    described = store.describe(split)
    _note_small_classes(described)
    return {**described, "folder": str(store.folder), "reused": reused, "bad_images": store.manifest["bad_images"]}


def _note_small_classes(report: dict[str, Any]) -> None:
    counts = dict(zip(report["classes"], report["class_counts"]["train"], strict=True))
    small = [f"{name} {count}" for name, count in counts.items() if count < _FEW]
    if small:
        terminal.note(f"classes with fewer than {_FEW} training images: {', '.join(small)}")


def table(report: dict[str, Any]) -> str:
    """Return a report's class table as text: a line a class with its images in each split, and totals."""
    height, width, channels = report["shape"]
    counts = [report["class_counts"][split] for split in SPLITS]
    rows = [[name, *numbers, sum(numbers)] for name, *numbers in zip(report["classes"], *counts, strict=True)]
    sizes = [report["sizes"][split] for split in SPLITS]
    rows.append(["total", *sizes, sum(sizes)])
    cells = [["class", *SPLITS, "total"], *[[row[0], *[f"{number:,}" for number in row[1:]]] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])]) for row in cells]
    title = f"{report['dataset']}: {sum(sizes):,} images, {height}x{width}x{channels}, in {report['folder']}"
    return "\n".join([title, "", *lines])
