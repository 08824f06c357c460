"""The verb `prepare`: read a data set, store it, split it, audit it. Light zone."""

from pathlib import Path

from imgcls import parts
from imgcls.audit import runner
from imgcls.audit.audit_report import AuditReport
from imgcls.config import Experiment
from imgcls.datasets import SPLITS, BadImage, DataSettings, ImageSettings
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.io.records import Record
from imgcls.report.tables import format_table
from imgcls.split import assign, split_csv
from imgcls.store import writer
from imgcls.store.manifest import DataDescription
from imgcls.store.store import Store


class AssignmentCounts(Record):
    """How many images are in the same split as before, and how many are new to theirs."""

    unchanged: int
    """Images in the split, or fold, to which an earlier preparation assigned them."""
    new: int
    """The other images."""


class Preparation(DataDescription):
    """What was prepared: what a run keeps of its data, and what was done."""

    folder: str
    """The folder of the store."""
    reused: bool
    """Whether the store was there already."""
    bad_images: list[BadImage]
    """Images that cannot be used, which the store leaves out."""
    assignments: AssignmentCounts
    """Images that stayed in their split."""
    audit: AuditReport
    """What the audit found."""


def prepare(experiment: Experiment, splits: Path | None = None) -> Preparation:
    """Prepare an experiment's data, or find that it is prepared already, and report what it holds.

    Args:
        splits: a file to write ids and splits in, as `data.splits_file` reads them.

    Raises:
        DataError: the data is missing, broken, or too small to be split, or a check whose policy is
            `fail` found something.
        UserError: the store, or the file, cannot be written.
    """
    data = experiment.data
    store, reused = find_or_store(data)
    assigned, unchanged = assign.find_or_assign(store, data, experiment.seed)
    report, split = runner.run_checks(store, assigned, data.audit)
    runner.save_report(report, store, split.key)
    runner.require_passed(report)
    store.save_split(split)
    if splits:
        split_csv.write_assignments(splits, store, split)
    return Preparation(
        **dict(store.describe(split)),
        folder=str(store.folder),
        reused=reused,
        bad_images=store.manifest.bad_images,
        assignments=AssignmentCounts(unchanged=unchanged, new=split.assigned_count - unchanged),
        audit=report,
    )


def find_or_store(data: DataSettings) -> tuple[Store, bool]:
    """Return the store of a data set, and whether it was there already.

    Raises:
        DataError: the data is missing or broken.
        UserError: the store cannot be written.
    """
    store, reused = writer.find_or_write(parts.load_for("datasets", data).prepare(data), data)
    _report_bad_images(store, data)
    return store, reused


def _report_bad_images(store: Store, data: DataSettings) -> None:
    """List the images that cannot be used, in an error or a note; the store holds the others."""
    bad = store.manifest.bad_images
    if not bad:
        return
    lines = [f"{terminal.to_printable(image.id)}: {image.problem}" for image in bad]
    listing = f"{len(bad)} bad image{'s' if len(bad) > 1 else ''}:\n{terminal.format_lines(lines)}"
    if isinstance(data, ImageSettings) and data.on_bad_image == "fail":
        raise DataError(
            f"{listing}\nrepair or remove them, or set data.on_bad_image: skip to leave them out"
        )
    terminal.note(f"left out: {listing}")


def format_report(report: Preparation) -> str:
    """Return a report for people: the classes, then the audit."""
    return f"{format_classes(report)}\n\n{runner.format_report(report.audit)}"


def format_classes(report: Preparation) -> str:
    """Return a report's class table as text: a line a class with its images in each split, and
    totals.
    """
    height, width, channels = report.shape
    counts = [report.class_counts[split] for split in SPLITS]
    sizes = [report.sizes[split] for split in SPLITS]
    rows = [
        {"class": name, **dict(zip(SPLITS, numbers, strict=True)), "total": sum(numbers)}
        for name, *numbers in [*zip(report.classes, *counts, strict=True), ("total", *sizes)]
    ]
    title = (
        f"{report.dataset}: {sum(sizes):,} images, {height}x{width}x{channels}, in {report.folder}"
    )
    return f"{title}\n\n{format_table(rows)}"
