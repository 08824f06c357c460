"""The verb `prepare`: stores, splits and audits a data set. Light zone."""

from pathlib import Path

from imgcls import parts
from imgcls.audit import runner
from imgcls.audit.audit_report import AuditReport
from imgcls.config import Experiment
from imgcls.datasets import SPLITS, BadImage, DataSettings, ImageSettings
from imgcls.errors import DataError
from imgcls.image import size_choice
from imgcls.image.decode import Geometry
from imgcls.io import terminal
from imgcls.io.records import Record
from imgcls.report.tables import format_table
from imgcls.split import assign, source_splits, split_csv
from imgcls.store import lookup, writer
from imgcls.store.manifest import DataDescription
from imgcls.store.split_file import Split
from imgcls.store.store import Store


class AssignmentCounts(Record):
    """The numbers of images that keep their split, and of images that are assigned anew."""

    unchanged: int
    """Images in the split, or fold, that an earlier `prepare` assigned them to."""
    new: int
    """All other images."""


class Preparation(DataDescription):
    """The prepared data of an experiment, and its audit."""

    folder: str
    """The folder of the store."""
    reused: bool
    """Whether the store existed already."""
    bad_images: list[BadImage]
    """Images that cannot be used, and are not in the store."""
    assignments: AssignmentCounts
    """The numbers of images with an unchanged and with a new split."""
    audit: AuditReport
    """The findings of the checks."""


def prepare(experiment: Experiment, splits: Path | None = None) -> Preparation:
    """Store, split and audit an experiment's data; what exists already is reused.

    Args:
        splits: path of a CSV file to write the split assignments to, for `data.splits_file`.

    Raises:
        DataError: the data is missing, damaged, or too small to split, or a check with the policy
            `fail` has findings.
        UserError: the store or the CSV file cannot be written.
    """
    data = experiment.data
    store, reused = find_or_store(data)
    _note_default_size(store, data)
    split, unchanged, report = _split_and_audit(store, experiment)
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


def split_store(store: Store, experiment: Experiment) -> Split:
    """Return the split of an experiment on a store; it is assigned and audited on first use.

    Raises:
        DataError: the data is too small to split, or a check with the policy `fail` has findings.
    """
    key = lookup.compute_split_key(experiment.data, experiment.split_seed)
    if store.get_split_file(key).exists():
        return store.read_split(key)
    return _split_and_audit(store, experiment)[0]


def _split_and_audit(store: Store, experiment: Experiment) -> tuple[Split, int, AuditReport]:
    """Return the split, how many images were in the same split before, and the audit."""
    assigned, unchanged = assign.find_or_assign(store, experiment.data, experiment.split_seed)
    report, split = runner.run_checks(store, assigned, experiment.data.audit)
    runner.save_report(report, store, split.key)
    runner.require_not_failed(report)
    store.save_split(split)
    return split, unchanged, report


def find_or_store(data: DataSettings) -> tuple[Store, bool]:
    """Return the store of a data set, and whether it existed already.

    Raises:
        DataError: the data is missing or damaged, or a split of the source cannot be used.
        UserError: the store cannot be written.
    """
    source = parts.load_for("datasets", data).prepare(data)
    source_splits.require_entries(source, data)
    store, reused = writer.find_or_write(source, data)
    _report_bad_images(store, data)
    source_splits.require_images(source, store, data)
    return store, reused


def _report_bad_images(store: Store, data: DataSettings) -> None:
    """List the images that cannot be used, in an error or a note (`data.on_bad_image`)."""
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


def _note_default_size(store: Store, data: DataSettings) -> None:
    """Say what becomes of the images at the default size, if the experiment does not choose one."""
    if not isinstance(data, ImageSettings) or "size" in data.model_fields_set:
        return
    height, width = data.size
    heights, widths = store.image_statistics["height"], store.image_statistics["width"]
    geometry = Geometry((height, width, 3), data.resize)
    terminal.note(
        f"data.size is not given, so that images become {height}x{width} (height x width, resize:"
        f" {data.resize}); the source holds {size_choice.describe_sizes(heights, widths)};"
        f" {size_choice.describe_median(heights, widths, geometry)}; to choose, set data.size"
    )


def format_report(report: Preparation, arguments: str) -> str:
    """Format the result of `prepare` as text: the classes, then the audit.

    Args:
        arguments: the experiment and its overrides, as they follow a command in a shell.
    """
    return f"{format_classes(report)}\n\n{runner.format_report(report.audit, arguments)}"


def format_classes(report: Preparation) -> str:
    """Format the number of images of each class in each split as a table, with totals."""
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
