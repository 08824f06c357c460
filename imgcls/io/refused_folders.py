"""Removing the folders of what is refused before it has results. Light zone."""

import contextlib
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from imgcls.errors import UserError
from imgcls.io import terminal


@contextlib.contextmanager
def remove_if_refused(folder: Path, files: Collection[Path]) -> Iterator[None]:
    """Remove a folder if the block ends because of a mistake in the experiment.

    Many mistakes, such as a layer that the model does not have, are found only when the model is
    built: seconds after the start, and so after the folder was created, which other processes look
    for. It would otherwise stay there as a failed run that nobody can continue.

    Args:
        folder: whose lock the caller holds.
        files: those of a folder that has no results yet; with any other file in it, it stays.
    """
    try:
        yield
    except UserError as error:
        is_mistake = error.exit_code == UserError.exit_code
        if is_mistake and set(folder.iterdir()) <= {*files, folder / ".lock"}:
            remove(folder)
        raise


def remove(folder: Path) -> bool:
    """Remove a folder; return whether that was possible, after a note if it was not."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        terminal.note(f"cannot remove {folder} ({error.strerror}), which is no longer needed")
        return False
    return True
