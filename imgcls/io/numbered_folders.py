"""Folders with numbers for names, such as `7` or `family-2`. Light zone."""

import contextlib
from pathlib import Path


def list_numbered(parent: Path, prefix: str = "") -> list[Path]:
    """Return the folders whose names are a prefix and a number, in the order of the numbers."""
    numbers = {
        int(number): path
        for path in parent.glob(f"{prefix}*")
        if (number := path.name.removeprefix(prefix)).isdecimal()
    }
    return [numbers[number] for number in sorted(numbers)]


def make_next(parent: Path, prefix: str = "") -> Path:
    """Create the folder with the next free number; two processes never get the same one."""
    parent.mkdir(parents=True, exist_ok=True)
    existing = list_numbered(parent, prefix)
    number = int(existing[-1].name.removeprefix(prefix)) if existing else 0
    while True:
        number += 1
        folder = parent / f"{prefix}{number}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
