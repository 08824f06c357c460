"""A folder of images, one sub-folder a class: the layout of ImageNet (Russakovsky et al., 2015, https://arxiv.org/abs/1409.0575).

Sub-folders `train`, `validation` and `test` are kept as they are. imgcls/images.py says how a file becomes pixels.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls import image_files, images, terminal, workers
from imgcls.datasets import BadImage, DataSettings, Record, Source
from imgcls.errors import DataError, UserError
from imgcls.images import Resize

if TYPE_CHECKING:
    from imgcls.image_files import ImageFile, Listing

Side = Annotated[int, Field(ge=1)]


class Settings(DataSettings):
    """What a folder of images can be told."""

    path: str
    """The folder: <path>/<class>/*.png, or <path>/train/<class>/*.png with validation/ and test/ beside train/."""
    size: list[Side] = Field([64, 64], min_length=2, max_length=2)
    """Height and width that every image is brought to."""
    resize: Resize = "pad"
    """pad: the whole image with black bars; crop: the centre, filled; stretch: proportions are lost."""
    channels: Literal[1, 3] | None = None
    """1 is grey, 3 is RGB. Unless given: 1 if every image is grey, else 3; the choice is printed."""
    on_bad_image: Literal["fail", "skip"] = "fail"
    """fail: check all images, then stop and list the bad ones; skip: leave them out and list them."""
    max_megapixels: Annotated[float, Field(gt=0)] = 100.0
    """An image with more pixels is bad: a small file can unfold to gigabytes."""


def prepare(settings: Settings) -> Source:
    """List the folder and return the stream of its images.

    Raises:
        DataError: the folder is missing or laid out otherwise, or holds bad images and `on_bad_image` is fail.
        UserError: the store would lie among the classes.
    """
    root = Path(settings.path).expanduser()
    if Path(settings.store).resolve().is_relative_to(root.resolve()):
        raise UserError(f"data.store: {settings.store} lies in data.path ({root}), where it would count as a class; choose another folder")
    listing = image_files.list_images(root)
    _note_oddities(root, listing)
    shape = (*settings.size, settings.channels or _choose_channels(settings, root, listing))
    return Source(listing.classes, shape, len(listing.files) + len(listing.bad), _records(settings, root, listing, shape))


def _note_oddities(root: Path, listing: "Listing") -> None:
    for name, splits in listing.absent.items():
        terminal.note(f"class '{name}' has no folder in {', '.join(splits)}; the labels of the other classes stay as they are")
    if listing.ignored:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(listing.ignored.items()))
        terminal.note(f"{root}: ignored {listing.ignored.total()} files that do not end in {', '.join(images.EXTENSIONS)}: {kinds}")


def _choose_channels(settings: Settings, root: Path, listing: "Listing") -> int:
    """Return 3 at the first image in colour, else 1; bad images are told of when their turn comes."""
    for file in listing.files:
        try:
            grey = images.is_grey(root / file.id, settings.max_megapixels)
        except images.ImageError:
            continue
        if not grey:
            terminal.note(f"3 channels, since {file.id} is in colour; to choose, set data.channels")
            return 3
    terminal.note("1 channel, since every image is grey; to choose, set data.channels")
    return 1


def _records(settings: Settings, root: Path, listing: "Listing", shape: tuple[int, int, int]) -> Iterator[Record | BadImage]:
    """Yield the images in the listing's order; the bad ones are told of at the end, when all are known."""

    def decode(file: "ImageFile") -> Record | BadImage:
        try:
            image = images.read_image(root / file.id, shape, settings.resize, settings.max_megapixels)
        except images.ImageError as error:
            return BadImage(file.id, str(error))
        return Record(image, file.label, file.id, file.split)

    bad: list[BadImage] = []
    for item in itertools.chain(listing.bad, workers.in_order(decode, listing.files)):
        if isinstance(item, BadImage):
            bad.append(item)
        if settings.on_bad_image == "skip" or not bad:
            yield item
    if bad and settings.on_bad_image == "fail":
        raise DataError(f"{_named(root, bad)}\nrepair or remove them, or set data.on_bad_image: skip to leave them out")
    if bad:
        terminal.note(f"left out: {_named(root, bad)}")


def _named(root: Path, bad: list[BadImage]) -> str:
    lines = [f"  {image.id}: {image.problem}" for image in bad[:20]]
    rest = [f"  and {len(bad) - 20} more"] if len(bad) > 20 else []
    return "\n".join([f"{len(bad)} bad image{'s' if len(bad) > 1 else ''} in {root}:", *lines, *rest])
