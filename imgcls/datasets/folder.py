"""A folder of images with a subfolder for each class, as of ImageNet (Russakovsky et al., 2015,
https://arxiv.org/abs/1409.0575).

Subfolders `train`, `validation` and `test` become those splits. imgcls/image/decode.py turns files
into pixels.

Light zone.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.datasets import Entry, ImageSettings, Source, _image_files
from imgcls.errors import UserError
from imgcls.image import decode
from imgcls.io import terminal

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
        _image_files.compute_version(paths),
        bad=listing.bad,
    )


def _note_irregularities(root: Path, listing: "Listing") -> None:
    for name, splits in listing.absent.items():
        terminal.note(
            f"class '{name}' has no folder in {', '.join(splits)}; the labels of the other classes"
            " do not change"
        )
    if listing.ignored:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(listing.ignored.items()))
        terminal.note(
            f"{root}: ignored {listing.ignored.total()} files that do not end in"
            f" {', '.join(decode.EXTENSIONS)}: {kinds}"
        )
