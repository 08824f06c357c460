"""Finding the images of a folder, its classes and its splits, in an order that no file system
decides. Light zone.
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

_LAYOUTS = (
    "<path>/<class>/*.png, or <path>/train/<class>/*.png with validation/ and test/ beside train/"
)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file: its path relative to the data set's folder, class number and split."""

    id: str
    label: int
    split: SplitName


@dataclass
class Listing:
    """What a folder holds: class names in label order, files sorted by id bytewise, entries that
    cannot be used, ignored files by kind.

    `absent` names the splits, if any, in which a class has no folder.
    """

    classes: list[str]
    files: list[ImageFile] = field(default_factory=list)
    bad: list[BadImage] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    absent: dict[str, list[SplitName]] = field(default_factory=dict)


def list_images(root: Path) -> Listing:
    """List a folder of images in one of two layouts; nested folders inside a class belong to it.

    The classes are the union over the splits, sorted bytewise, so that a folder missing in one
    split shifts no label.

    Raises:
        DataError: the folder is missing, or its layout is not one of the two.
    """
    if not root.is_dir():
        state = "is not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"data.path: {root} {state}; give the folder of the images, laid out as {_LAYOUTS}"
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
            f"{root} holds no image: its class folders have no file ending in"
            f" {', '.join(EXTENSIONS)}"
        )
    return listing


def compute_version(paths: list[Path]) -> str:
    """Return a digest of the names, sizes and times of files: another one whenever a file may have
    changed.
    """
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
    """Return the folder of each split that the source has; the root itself is `train` where it has
    none.
    """
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
            f"{root} holds {', '.join(splits)} with class folders, and also {', '.join(others)};"
            " beside each other only train, validation and test are allowed: rename or move the"
            " rest"
        )
    if "train" not in splits:
        raise DataError(
            f"{root} holds {', '.join(splits)} with class folders, but no train/ with any; lay the"
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
    unspeakable = [name for name in classes if not name.isprintable()]
    if unspeakable:
        shown = ", ".join(ascii(name) for name in unspeakable)
        raise DataError(
            f"{root}: class folders whose names are not printable UTF-8 text: {shown}; rename them"
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
    """Yield every file below a folder; with a problem, a folder that cannot be listed or that a
    link leads back up to.

    Symbolic links are followed, since big data sets are often linked together; `above` are the
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
            yield current, "a symbolic link that leads back to a folder above it"
            continue
        for child in children:
            if child.name.startswith(".") or not child.is_dir():
                yield child, None
            else:
                waiting.append((child, above | {identity}))


def _get_identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
