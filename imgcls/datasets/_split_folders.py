"""The folders of splits and classes in a folder of images, and what lies in their place.

Light zone.
"""

import os
from collections import Counter
from pathlib import Path

from imgcls.datasets import SPLITS, SplitName
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.io.folders import describe_dangling, format_kinds, get_kind, is_dangling

LAYOUTS = (
    "<path>/<class>/*.png, or <path>/train/<class>/*.png with validation/ and test/ beside train/"
)


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


def _describe_without_classes(path: Path) -> str:
    """Return what is in the place of a folder with class folders."""
    if is_dangling(path):
        return f"{path} is {describe_dangling(path)}"
    if not path.is_dir():
        return f"{path} is not a folder"
    files = [get_kind(child) for child in path.iterdir() if not child.is_dir()]
    if not files:
        return f"{path} is empty"
    return f"{path} holds no class folders, but files: {format_kinds(Counter(files))}"


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
            path.name: path
            for path in parent.iterdir()
            if not path.name.startswith(".") and path.is_dir()
        }
    except OSError as error:
        raise DataError(f"cannot list {parent}: {error.strerror}") from None
