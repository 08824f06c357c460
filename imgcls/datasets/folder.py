"""A folder of images with a subfolder for each class, as of ImageNet (Russakovsky et al., 2015,
https://arxiv.org/abs/1409.0575).

Subfolders `train`, `validation` and `test` become those splits. imgcls/image/decode.py turns files
into pixels.

Light zone.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.checks import format_count
from imgcls.datasets import Entry, ImageSettings, Source, _image_files
from imgcls.errors import UserError
from imgcls.image import decode
from imgcls.io import terminal
from imgcls.io.folders import format_kinds

if TYPE_CHECKING:
    from imgcls.datasets._image_files import Listing


class Settings(ImageSettings):
    """The settings of a folder of images."""

    path: str
    """The folder: <path>/<class>/*.png, or <path>/train/<class>/*.png with validation/ and test/
    beside train/."""


def prepare(settings: Settings) -> Source:
    """List the folder.

    Raises:
        DataError: the folder is missing, or has another layout.
        UserError: the store would be among the class folders.
    """
    root = Path(settings.path).expanduser()
    if Path(settings.store_dir).resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"data.store_dir: {settings.store_dir} is inside data.path ({root}), where it would"
            " count as a class; choose another folder"
        )
    listing = _image_files.list_images(root)
    _note_irregularities(root, listing)
    entries = [Entry(file.id, file.label, file.split) for file in listing.files]
    paths = [root / file.id for file in listing.files]
    return Source(
        listing.classes,
        entries,
        lambda index: decode.read_file(paths[index]),
        _compute_version(listing, [*paths, *(root / image.id for image in listing.bad)]),
        bad=listing.bad,
        empty_splits=listing.empty_splits,
    )


def _compute_version(listing: "Listing", paths: list[Path]) -> str:
    """Return a digest that also changes with the classes, of which one may have an empty folder."""
    classes = "\0".join(listing.classes).encode("utf-8", "surrogateescape")
    return f"{hashlib.sha256(classes).hexdigest()} {_image_files.compute_version(paths)}"


def _note_irregularities(root: Path, listing: "Listing") -> None:
    for name, splits in listing.absent.items():
        terminal.note(
            f"class '{name}' has no folder in {', '.join(splits)}; the labels of the other classes"
            " do not change"
        )
    if listing.loose:
        terminal.note(
            f"{root}: {format_count(len(listing.loose), 'image')} beside the class folders"
            f" {'belongs' if len(listing.loose) == 1 else 'belong'} to no class:"
            f" {terminal.format_some(list(map(terminal.to_printable, listing.loose)), 3)}"
        )
    if listing.ignored:
        terminal.note(
            f"{root}: ignored {format_count(listing.ignored.total(), 'file')} that"
            f" {'does' if listing.ignored.total() == 1 else 'do'} not end in"
            f" {', '.join(decode.EXTENSIONS)}: {format_kinds(listing.ignored)}"
        )
