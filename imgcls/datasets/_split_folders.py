"""The folders of splits and classes in a folder of images, and what lies in their place.

Light zone.
"""

import os
import re
from collections import Counter
from pathlib import Path

from imgcls.datasets import SPLITS, SplitName
from imgcls.errors import DataError
from imgcls.image.decode import EXTENSIONS
from imgcls.io import terminal
from imgcls.io.folders import describe_dangling, format_kinds, get_kind, is_dangling, is_shown

LAYOUTS = (
    "<path>/<class>/*.png, or <path>/train/<class>/*.png with validation/ and test/ beside train/"
)

_SPLIT_WORDS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "validate", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
}
"""What the folders of splits are usually called."""


def find_split_folders(root: Path) -> tuple[dict[SplitName, Path], dict[SplitName, str]]:
    """Return the folders of the splits, and why others have none; without splits, the root is
    `train`.
    """
    folders = list_folders(root)
    if not folders:
        raise DataError(f"{root} holds no class folders; lay the images out as {LAYOUTS}")
    splits = {
        split: folders[split]
        for split in SPLITS
        if split in folders and list_folders(folders[split])
    }
    if not splits and set(folders) <= set(SPLITS):
        raise DataError(
            f"{root}: {', '.join(sorted(folders))} hold no class folders; lay the images out as"
            f" {LAYOUTS}"
        )
    if not splits:
        _check_nesting(root, folders)
        return {"train": root}, {}
    if others := sorted({*folders, *list_dangling_links(root)} - set(SPLITS)):
        raise DataError(
            f"{root} holds {', '.join(splits)} with class folders, and also"
            f" {terminal.format_some(others)}; only train, validation and test may be beside each"
            " other: rename or move the rest"
        )
    if "train" not in splits:
        raise DataError(
            f"{root} holds {', '.join(splits)} with class folders, but no such train/; lay the"
            f" images out as {LAYOUTS}"
        )
    empty = {
        split: _describe_without_classes(root / split)
        for split in SPLITS
        if split not in splits and os.path.lexists(root / split)
    }
    return splits, empty


def _check_nesting(root: Path, folders: dict[str, Path]) -> None:
    """Find class folders that look like splits: each holds folders of the same names, no image.

    Raises:
        DataError: some have the usual names of splits, such as `training`. Others are only noted,
            since the folders below may be views or sites.
    """
    inner = [set(list_folders(folder)) for folder in folders.values()]
    recurring = set.intersection(*inner)
    if len(folders) < 2 or len(recurring) < 2 or any(map(_has_images, folders.values())):
        return
    names = terminal.format_some(sorted(map(terminal.to_printable, folders)))
    below = terminal.format_some(sorted(map(terminal.to_printable, recurring)))
    meant = {name: _SPLIT_WORDS[word] for name in folders if (word := _get_word(name))}
    if meant:
        renames = ", ".join(f"{name} to {split}" for name, split in sorted(meant.items()))
        raise DataError(
            f"{root}: {names} each hold folders of the same names ({below}) and no images, as"
            f" splits do; rename {renames}, so that the folders below become the classes"
        )
    terminal.note(
        f"{root}: {names} are the classes, but each holds folders of the same names ({below}) and"
        " no images; if those are the classes, lay the images out as"
        f" {LAYOUTS}"
    )


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in EXTENSIONS and path.is_file() for path in folder.iterdir())


def _get_word(name: str) -> str | None:
    """Return the usual word for a split in the name of a folder, such as `val` in `Val_images`."""
    words = re.split(r"[^a-z]+", name.casefold())
    return next((word for word in words if word in _SPLIT_WORDS), None)


def _describe_without_classes(path: Path) -> str:
    """Return what is in the place of a folder with class folders."""
    if is_dangling(path):
        return f"{path} is {describe_dangling(path)}"
    if not path.is_dir():
        return f"{path} is not a folder"
    files = [get_kind(child) for child in path.iterdir() if not child.is_dir()]
    if not files:
        return f"{path} is empty"
    return (
        f"{path} holds no class folders, but files: {format_kinds(Counter(files))}; images without"
        f" classes are for `imgcls predict RUN {path}`: move them out of {path.parent}"
    )


def list_dangling_links(folder: Path) -> list[str]:
    """Return the names of visible links to nothing in a folder."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if not path.name.startswith(".") and is_dangling(path)
    )


def list_folders(parent: Path) -> dict[str, Path]:
    """Return the visible folders in a folder, by name."""
    try:
        return {
            path.name: path for path in parent.iterdir() if is_shown(path.name) and path.is_dir()
        }
    except OSError as error:
        raise DataError(f"cannot list {parent}: {error.strerror}") from None
