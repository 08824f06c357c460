"""A folder of images, one sub-folder a class: the layout of ImageNet (Russakovsky et al., 2015,
https://arxiv.org/abs/1409.0575).

Sub-folders `train`, `validation` and `test` are kept as they are. imgcls/image/decode.py says how a
file becomes pixels.

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
    """What a folder of images can be told."""

    path: str
    """The folder: <path>/<class>/*.png, or <path>/train/<class>/*.png with validation/ and test/
    beside train/.
    """


def prepare(settings: Settings) -> Source:
    """List the folder.

    Raises:
        DataError: the folder is missing or laid out otherwise.
        UserError: the store would lie among the classes.
    """
    root = Path(settings.path).expanduser()
    if Path(settings.store_dir).resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"data.store_dir: {settings.store_dir} lies in data.path ({root}), where it would count"
            " as a class; choose another folder"
        )
    listing = _image_files.list_images(root)
    _note_oddities(root, listing)
    entries = [Entry(file.id, file.label, file.split) for file in listing.files]
    paths = [root / file.id for file in listing.files]
    return Source(
        listing.classes,
        entries,
        lambda place: decode.read_file(paths[place]),
        _image_files.compute_version(paths),
        bad=listing.bad,
    )


def _note_oddities(root: Path, listing: "Listing") -> None:
    for name, splits in listing.absent.items():
        terminal.note(
            f"class '{name}' has no folder in {', '.join(splits)}; the labels of the other classes"
            " stay as they are"
        )
    if listing.ignored:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(listing.ignored.items()))
        terminal.note(
            f"{root}: ignored {listing.ignored.total()} files that do not end in"
            f" {', '.join(decode.EXTENSIONS)}: {kinds}"
        )
