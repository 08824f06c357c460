"""The folders of compressed runs: which one to continue, and what a new one begins with. Light
zone.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from imgcls.compression.record import Compression, CompressionStep
from imgcls.compressors import CompressorSettings
from imgcls.errors import UserError
from imgcls.io import files, numbered_folders, terminal
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.run_lookup import try_read_experiment


def describe(original: Run, methods: Sequence[CompressorSettings]) -> Compression:
    """Return the record of a run that is about to be compressed."""
    before = original.compression
    return Compression(
        original=str(original.folder),
        original_sha256=files.compute_sha256(original.model_file),
        earlier=[*before.earlier, *before.steps] if before else [],
        network=None,
        steps=[
            CompressionStep(settings=each.model_dump(mode="json"), details={}) for each in methods
        ],
    )


def find_or_create(original: Run, wanted: Compression, folder: Path | None) -> Run:
    """Return the run to continue, or a new one, which has all records but that of its model.

    Args:
        folder: of the compressed run; None for the newest one beside the original that is made in
            the same way and is not finished, or else for a new one there.

    Raises:
        UserError: the folder has something else, or cannot be written.
        DataError: its compression.json is damaged.
    """
    if folder is None:
        return _find_unfinished(original, wanted) or _create(original, wanted, None)
    run = Run(folder)
    if not folder.exists() or run.can_be_recreated():
        return _create(original, wanted, folder)
    if not os.path.lexists(run.config_file) or run.compression is None:
        raise UserError(
            f"--run {folder} exists, but is not a compressed run; choose a new or empty folder"
        )
    if not _is_same(run.compression, wanted):
        raise UserError(
            f"--run {folder} is of another compression, of {run.compression.original} by"
            f" {run.compression.describe()}, or with other settings; choose another folder"
        )
    return run


def _get_prefix(original: Run, wanted: Compression) -> str:
    names = [str(step.settings["name"]) for step in wanted.steps]
    return "-".join([original.folder.resolve().name, *names, ""])


def _find_unfinished(original: Run, wanted: Compression) -> Run | None:
    prefix = _get_prefix(original, wanted)
    for path in numbered_folders.list_numbered(original.folder.parent, prefix)[-1:]:
        run = Run(path)
        if not run.config_file.is_file() or not try_read_experiment(run):
            continue
        made = run.compression
        if made and _is_same(made, wanted) and run.status.status != "finished":
            terminal.note(f"continuing {run.folder}, which is {run.status.status}")
            return run
    return None


def _is_same(made: Compression, wanted: Compression) -> bool:
    """Return whether two are of the same model by the same methods."""
    return made.original_sha256 == wanted.original_sha256 and [
        step.settings for step in made.steps
    ] == [step.settings for step in wanted.steps]


def _create(original: Run, wanted: Compression, folder: Path | None) -> Run:
    with files.explain_errors(folder or original.folder.parent):
        run = Run(
            folder
            or numbered_folders.make_next(original.folder.parent, _get_prefix(original, wanted))
        )
        run.folder.mkdir(parents=True, exist_ok=True)
    with run.lock():
        write_record(run.compression_file, wanted)
        write_record(run.data_file, original.data)
        copy_training(original, run)
        run.write_status("created", step=original.status.step)
        # Last, since it makes the folder a run: no command finds one without its record.
        files.write_text(run.config_file, original.experiment.to_yaml())
    return run


def copy_training(trained: Run, run: Run) -> None:
    """Copy what a training has besides its model: log, plan, sample, and who taught it."""
    pairs = {
        trained.log_file: run.log_file,
        trained.plan_file: run.plan_file,
        trained.teacher_file: run.teacher_file,
        trained.sample_file: run.sample_file,
    }
    for source, target in pairs.items():
        if source.is_file():
            with source.open("rb") as content, files.replace_file(target) as stream:
                shutil.copyfileobj(content, stream)
