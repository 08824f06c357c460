"""The temporary run of a dry run, which leaves nothing behind. Light zone."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from imgcls.config import Experiment
from imgcls.errors import UserError
from imgcls.io import files, refused_folders, terminal
from imgcls.run import RUNS, Run
from imgcls.training.new_run import create_run

PREFIX = ".dry-run-"
"""What the names of the folders begin with; commands that look for runs pass over them."""


@contextlib.contextmanager
def make_run(experiment: Experiment) -> Iterator[Run]:
    """Create a run in a hidden folder on the disk of real runs, and remove it after the block.

    Folders that dry runs have left when they were killed are removed, too.

    Raises:
        UserError: the folder cannot be written.
    """
    parent = next(folder for folder in (RUNS, Path()) if folder.is_dir())
    _remove_abandoned(parent)
    with files.explain_errors(parent):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        run = create_run(experiment, folder)
        with run.lock():
            yield run
    finally:
        refused_folders.remove(folder)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of dry runs whose process has ended."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(UserError), Run(folder).lock():  # an error: it is in use
            if refused_folders.remove(folder):
                terminal.note(f"removed {folder}, which a dry run that was killed had left")
