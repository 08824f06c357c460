"""Listing the images, classes and splits of a folder, in the same order on every file system.

Light zone.
"""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from imgcls.datasets import BadImage, SplitName, _class_names
from imgcls.datasets._split_folders import (
    LAYOUTS,
    find_split_folders,
    list_dangling_links,
    list_folders,
)
from imgcls.errors import DataError
from imgcls.image.decode import EXTENSIONS
from imgcls.io import terminal
from imgcls.io.folders import (
    describe_dangling,
    format_kinds,
    get_identity,
    get_kind,
    is_dangling,
    is_shown,
    walk,
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
        loose: images beside the class folders, which belong to no class.
        empty_splits: the splits that have a folder without images, each with the reason.
    """

    classes: list[str]
    files: list[ImageFile] = field(default_factory=list)
    bad: list[BadImage] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    absent: dict[str, list[SplitName]] = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)
    empty_splits: dict[SplitName, str] = field(default_factory=dict)


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
            f"data.path: {root} {state}; give a folder of images, laid out as {LAYOUTS}"
        )
    splits, empty = find_split_folders(root)
    folders = {split: list_folders(folder) for split, folder in splits.items()}
    spellings = {name for names in folders.values() for name in names}
    _check_spellings(root, spellings)
    classes = sorted({_class_names.normalize(name) for name in spellings}, key=os.fsencode)
    _check_classes(root, classes, list(splits.values()))
    listing = Listing(classes, empty_splits=empty)
    for name in classes:
        if missing := [
            split
            for split, names in folders.items()
            if name not in map(_class_names.normalize, names)
        ]:
            listing.absent[name] = missing
    if root not in splits.values():
        _add_loose_files(listing, root, root)
    for split, names in folders.items():
        _add_split(listing, root, splits[split], split, names)
    listing.files.sort(key=lambda file: os.fsencode(file.id))
    listing.bad.sort(key=lambda image: os.fsencode(image.id))
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


def _check_spellings(root: Path, names: set[str]) -> None:
    """Require names of class folders that are text, and note those that mean one class."""
    unprintable = sorted(ascii(name) for name in names if not _class_names.is_text(name))
    if unprintable:
        raise DataError(
            f"{root} has class folders whose names are not printable UTF-8 text:"
            f" {terminal.format_some(unprintable)}; rename them"
        )
    _class_names.note_spellings(names)


def _check_classes(root: Path, classes: list[str], folders: list[Path]) -> None:
    """Require at least two classes; links to nothing that may be the others are named."""
    if len(classes) == 1:
        links = [
            f"{folder / name} is {describe_dangling(folder / name)}"
            for folder in folders
            for name in list_dangling_links(folder)
        ]
        raise DataError(
            f"{root} holds one class, '{classes[0]}'; a classifier needs at least two class folders"
            f"{''.join(f'; {terminal.to_printable(link)}' for link in links[:3])}"
        )


def _add_split(
    listing: Listing, root: Path, folder: Path, split: SplitName, classes: dict[str, Path]
) -> None:
    """Add the class folders of a split to the listing, and what is beside them."""
    ignored, bad, files = listing.ignored.copy(), len(listing.bad), len(listing.files)
    _add_loose_files(listing, root, folder)
    labels = {name: label for label, name in enumerate(listing.classes)}
    for name in sorted(classes, key=os.fsencode):
        _add_class(listing, root, classes[name], labels[_class_names.normalize(name)], split)
    if len(listing.files) == files:
        kinds = format_kinds(listing.ignored - ignored)
        problems = [f"{image.id}: {image.problem}" for image in listing.bad[bad:]]
        found = "; ".join(filter(None, [kinds and f"files: {kinds}", *problems[:3]]))
        listing.empty_splits[split] = (
            f"the class folders of {folder} hold no images{found and f', but {found}'}"
        )


def _add_loose_files(listing: Listing, root: Path, folder: Path) -> None:
    """Add what lies beside class folders, or beside the folders of splits, to the listing."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and is_shown(path.name):
            continue
        if path.is_dir():
            _add_ignored(listing, root, path)
        elif path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
            listing.loose.append(path.relative_to(root).as_posix())
        else:
            _add_ignored(listing, root, path)


def _add_class(listing: Listing, root: Path, folder: Path, label: int, split: SplitName) -> None:
    """Add every file below a class folder to the listing."""
    for path, problem in walk(folder, frozenset({get_identity(root), get_identity(folder.parent)})):
        name = path.relative_to(root).as_posix()
        if problem:
            listing.bad.append(BadImage(id=name, problem=problem))
        elif path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
            listing.files.append(ImageFile(name, label, split))
        else:
            _add_ignored(listing, root, path)


def _add_ignored(listing: Listing, root: Path, path: Path) -> None:
    """Count a file that is not an image; a link that leads nowhere may be a folder of images."""
    if is_dangling(path) and not path.name.startswith("."):
        problem = describe_dangling(path)
        listing.bad.append(BadImage(id=path.relative_to(root).as_posix(), problem=problem))
    else:
        listing.ignored[get_kind(path)] += 1
