"""The folder of the explanations of a split, or of files. Light zone."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imgcls.io import files
from imgcls.result_folder import ResultFolder
from imgcls.run import Run

FILES = "files"
"""The name of the folder for files that are not of a split."""


@dataclass(frozen=True)
class ExplanationFolder:
    """A folder with a folder for each method; docs/files.md describes them."""

    folder: Path

    @property
    def importance_file(self) -> Path:
        """What carries the accuracy, an `Importance`."""
        return self.folder / "importance.json"

    @property
    def importance_figure(self) -> Path:
        """The same as a figure."""
        return self.folder / "importance.png"

    def method_folder(self, method: str) -> "MethodFolder":
        """The folder of a method."""
        return MethodFolder(self.folder / method)


@dataclass(frozen=True)
class MethodFolder:
    """The files of one method."""

    folder: Path

    @property
    def maps_file(self) -> Path:
        """The maps, a `MapArrays`."""
        return self.folder / "maps.npz"

    @property
    def scores_file(self) -> Path:
        """What is known of the maps, a `MethodScores`."""
        return self.folder / "scores.json"

    @property
    def sheet_figure(self) -> Path:
        """Pictures with their maps."""
        return self.folder / "sheet.png"

    @property
    def regions_figure(self) -> Path:
        """The mean map of each class."""
        return self.folder / "regions.png"

    @property
    def scores_figure(self) -> Path:
        """The scores beside those of a random map."""
        return self.folder / "scores.png"


def get_explanation_folder(folder: ResultFolder, name: str) -> ExplanationFolder:
    """Return the folder of a run's explanations.

    Args:
        name: the split, or `FILES`.
    """
    return ExplanationFolder(folder.explanations_folder / name)


@contextlib.contextmanager
def lock_explanations(run: Run) -> Iterator[None]:
    """Hold the lock of a run's explanations, and remove what a killed process left there.

    Raises:
        UserError: the folder cannot be written.
    """
    with files.hold_lock(run.explanations_folder / ".lock"):
        for path in run.explanations_folder.glob("*/.*.tmp"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield
