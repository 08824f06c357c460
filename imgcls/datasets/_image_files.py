"""Listing the images, classes and splits of a folder, in the same order on every file system.

Light zone.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imgcls.datasets import SPLITS, BadImage, SplitName
from imgcls.errors import DataError
from imgcls.image.decode import EXTENSIONS
from imgcls.io import terminal

_LAYOUTS = (
    "<path>/<class>/*.png, or <path>/train/<class>/*.png with validation/ and test/ beside train/"
)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file: its path relative to the data set's folder, its class number and its split."""

    id: str
    label: int
    split: SplitName


@dataclass
class Listing:
    """What a folder holds.

    Attributes:
        classes: names in label order.
        files: sorted by the bytes of their ids.
        bad: entries that cannot be used.
        ignored: the number of ignored files of each kind.
        absent: the splits in which a class has no folder, for classes with any.
    """

    classes: list[str]
    files: list[ImageFile] = field(default_factory=list)
    bad: list[BadImage] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    absent: dict[str, list[SplitName]] = field(default_factory=dict)


def list_images(root: Path) -> Listing:
    """List a folder of images in one of two layouts; folders inside a class folder belong to it.

    The classes are the union over the splits, sorted by their bytes, so that a folder missing from
    one split shifts no label.

    Raises:
        DataError: the folder is missing, or its layout is not one of the two.
    """
    if not root.is_dir():
        state = "is not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"data.path: {root} {state}; give a folder of images, laid out as {_LAYOUTS}"
        )
    folders = {split: list_folders(folder) for split, folder in _find_split_folders(root).items()}
    classes = sorted({name for names in folders.values() for name in names}, key=os.fsencode)
    _check_classes(root, classes)
    listing = Listing(classes)
    for label, name in enumerate(classes):
        if missing := [split for split, names in folders.items() if name not in names]:
            listing.absent[name] = missing
        for split in (split for split, names in folders.items() if name in names):
            _add_class(listing, root, folders[split][name], label, split)
    listing.files.sort(key=lambda file: os.fsencode(file.id))
    if not listing.files and not listing.bad:
        raise DataError(
            f"{root} holds no images: its class folders hold no file ending in"
            f" {', '.join(EXTENSIONS)}"
        )
    return listing


def compute_version(paths: list[Path]) -> str:
    """Return a digest of the names, sizes and times of files, which changes if a file may have."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError as error:
            state = f"{error.errno}"
        digest.update(os.fsencode(path) + f"\0{state}\0".encode())
    return digest.hexdigest()


def _find_split_folders(root: Path) -> dict[SplitName, Path]:
    """Return the folder of each split of the source; without splits the root itself is `train`."""
    folders = list_folders(root)
    if not folders:
        raise DataError(f"{root} holds no class folders; lay the images out as {_LAYOUTS}")
    splits = {
        split: folders[split]
        for split in SPLITS
        if split in folders and list_folders(folders[split])
    }
    others = sorted(set(folders) - set(SPLITS))
    if not splits and not others:
        raise DataError(
            f"{root}: {', '.join(sorted(folders))} hold no class folders; lay the images out as"
            f" {_LAYOUTS}"
        )
    if not splits:
        return {"train": root}
    if others:
        raise DataError(
            f"{root} holds {', '.join(splits)} with class folders, and also"
            f" {terminal.format_some(others)}; only train, validation and test may be beside each"
            " other: rename or move the rest"
        )
    if "train" not in splits:
        raise DataError(
            f"{root} holds {', '.join(splits)} with class folders, but no such train/; lay the"
            f" images out as {_LAYOUTS}"
        )
    return splits


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


def _check_classes(root: Path, classes: list[str]) -> None:
    unprintable = [ascii(name) for name in classes if not name.isprintable()]
    if unprintable:
        raise DataError(
            f"{root} has class folders whose names are not printable UTF-8 text:"
            f" {terminal.format_some(unprintable)}; rename them"
        )
    if len(classes) == 1:
        raise DataError(
            f"{root} holds one class, '{classes[0]}'; a classifier needs at least two class folders"
        )


def _add_class(listing: Listing, root: Path, folder: Path, label: int, split: SplitName) -> None:
    """Add every file below a class folder to the listing."""
    for path, problem in _walk(
        folder, frozenset({_get_identity(root), _get_identity(folder.parent)})
    ):
        name = path.relative_to(root).as_posix()
        if problem:
            listing.bad.append(BadImage(id=name, problem=problem))
        elif path.name.startswith("."):
            listing.ignored["hidden"] += 1
        elif path.suffix.lower() in EXTENSIONS:
            listing.files.append(ImageFile(name, label, split))
        else:
            listing.ignored[path.suffix.lower() or "without extension"] += 1


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[tuple[Path, str | None]]:
    """Yield every file below a folder; a folder that cannot be listed or is a loop has a problem.

    Symbolic links are followed, since large data sets are often linked together; `above` are the
    folders on the way down.
    """
    waiting = [(folder, above)]
    while waiting:
        current, above = waiting.pop()
        try:
            identity = _get_identity(current)
            children = sorted(current.iterdir())
        except OSError as error:
            yield current, f"cannot be listed: {error.strerror}"
            continue
        if identity in above:
            yield current, "a symbolic link to a folder above it"
            continue
        for child in children:
            if child.name.startswith(".") or not child.is_dir():
                yield child, None
            else:
                waiting.append((child, above | {identity}))


def _get_identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
