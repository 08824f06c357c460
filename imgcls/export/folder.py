"""The folder of an export: an artifact, and what lies beside it. Light zone.

It can be copied elsewhere as a whole.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from imgcls.export.record import ExportMetadata
from imgcls.io import files
from imgcls.io.records import read_record
from imgcls.result_folder import ResultFolder
from imgcls.run import Run


class ExportFolder(ResultFolder):
    """The folder of an artifact, with the paths of its files; docs/files.md describes them."""

    @property
    def metadata_file(self) -> Path:
        """What the artifact is."""
        return self.folder / "metadata.json"

    @property
    def comparison_file(self) -> Path:
        """How it was compared with model.keras."""
        return self.folder / "comparison.json"

    @property
    def example_file(self) -> Path:
        """A program that predicts with it, without imgcls."""
        return self.folder / "example.py"

    def read_metadata(self) -> ExportMetadata:
        """Return what the artifact is.

        Raises:
            DataError: metadata.json is missing or damaged.
        """
        return read_record(self.metadata_file, ExportMetadata, "export the run again")

    def get_evaluation_advice(self, split: str) -> str:
        """Return what to do if a file of an evaluation is damaged, for messages."""
        return f"run `imgcls eval --artifact` with --split {split} again"

    def hash_files(self, artifact: str) -> dict[str, str]:
        """Return the SHA-256 of each file of an artifact, by its path in the folder.

        A file without its ending is the same artifact: OpenVINO writes model.xml and model.bin.

        Raises:
            OSError: a file cannot be read.
        """
        path = self.folder / artifact
        found = [each for each in path.rglob("*") if each.is_file()]
        if path.is_file():
            found = [each for each in self.folder.iterdir() if each.stem == path.stem]
        return {
            each.relative_to(self.folder).as_posix(): files.compute_sha256(each)
            for each in sorted(found)
        }


def get_export_folder(run: Run, name: str) -> ExportFolder:
    """Return the folder of a run's export in a format."""
    return ExportFolder(run.exports_folder / name)


def combine_hashes(sha256: dict[str, str]) -> str:
    """Return the SHA-256 of an artifact from those of its files, as `ExportMetadata` states it."""
    if len(sha256) == 1:
        return next(iter(sha256.values()))
    lines = "".join(f"{value}  {path}\n" for path, value in sorted(sha256.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


@contextlib.contextmanager
def lock_exports(run: Run) -> Iterator[None]:
    """Hold the lock of a run's exports, and remove what a killed process left there.

    Raises:
        UserError: the folder cannot be written.
    """
    with files.hold_lock(run.exports_folder / ".lock"):
        for path in [*run.exports_folder.glob(".*.tmp"), *run.exports_folder.glob(".graph-*")]:
            shutil.rmtree(path, ignore_errors=True)
        yield
