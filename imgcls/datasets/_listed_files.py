"""Finding the files that a list names, whose names may be spelt otherwise on the disk.

Light zone.
"""

import os
import unicodedata
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path


class FileFinder:
    """Looks listed paths up by Unicode form and slash, and suggests near misses.

    Args:
        folder: that of the list, to which its paths are relative.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, list[str]] = {}

    def find(self, path: str) -> str | None:
        """Return the path of the file as on the disk; None if there is none, or more than one."""
        for spelling in self._list_slashes(path):
            if os.path.isfile(self._folder / spelling):
                return spelling
        for spelling in self._list_slashes(path):
            if found := self._match(spelling, _compose):
                return found
        return None

    def suggest(self, path: str) -> str:
        """Return the end of an error about a missing file: a file that may be meant, or nothing."""
        for spelling in self._list_slashes(path):
            if found := self._match(spelling, _fold):
                return f"; but {found!r} is there, in other case or form: did you mean it?"
            above, name = os.path.split(spelling)
            parent = self._match(above, _fold, is_folder=True) if above else ""
            names = [] if parent is None else self._list_names(parent)
            if parent is not None and (near := get_close_matches(name, names, n=1, cutoff=0.85)):
                return f"; did you mean {os.path.join(parent, near[0])!r}?"
        return ""

    def _list_slashes(self, path: str) -> list[str]:
        return [path, os.path.normpath(path.replace("\\", "/"))] if "\\" in path else [path]

    def _match(
        self, path: str, normalize: Callable[[str], str], is_folder: bool = False
    ) -> str | None:
        """Return the one path whose parts are equal to those of `path` after normalization."""
        found = "/" if os.path.isabs(path) else ""
        for part in Path(path).parts[bool(found) :]:
            if part != ".." and not os.path.lexists(self._folder / found / part):
                same = [n for n in self._list_names(found) if normalize(n) == normalize(part)]
                if len(same) != 1:
                    return None
                part = same[0]
            found = os.path.join(found, part)
        exists = os.path.isdir if is_folder else os.path.isfile
        return found if exists(self._folder / found) else None

    def _list_names(self, parent: str) -> list[str]:
        """Return the names in a folder, or none if it cannot be listed."""
        if parent not in self._names:
            path = self._folder / parent
            self._names[parent] = sorted(os.listdir(path)) if os.path.isdir(path) else []
        return self._names[parent]


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _fold(name: str) -> str:
    return _compose(name).casefold()
