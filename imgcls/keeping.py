"""What a store keeps of each image of a source: pixels of one shape, or an encoded file, and how the image looks. Light zone."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from imgcls import images, looks, terminal, workers
from imgcls.datasets import BadImage, DataSettings, ImageSettings, Source
from imgcls.images import Geometry, ImageError
from imgcls.looks import Look

if TYPE_CHECKING:
    import numpy

RECORD = [("start", "<u8"), ("length", "<u8"), ("height", "<u4"), ("width", "<u4"), ("plain", "?")]
"""Where an encoded image lies in its file, its size as it is seen, and whether it is a plain JPEG: grey or RGB, upright."""

JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one image; `height`, `width` and `plain` are of the encoded image, or of the pixels."""

    data: "bytes | numpy.ndarray"
    height: int
    width: int
    plain: bool
    look: Look


@dataclass
class Block:
    """What is kept of some entries of a source, and their places; and the bad among them."""

    places: list[int] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    bad: list[BadImage] = field(default_factory=list)

    def looks(self) -> "numpy.ndarray":
        """Return a row of `looks.COLUMNS` for each image."""
        digests = [hashlib.blake2b(kept.data, digest_size=16).digest() for kept in self.kept]
        return looks.table([kept.look for kept in self.kept], digests)


class Keeper(Protocol):
    """Reads entries of a source, and keeps what the store is to hold of them."""

    def block(self, places: Sequence[int]) -> Block:
        """Return what is kept of the entries at some places, in their order."""


def keeper(source: Source, settings: DataSettings, shape: tuple[int, int, int] | None) -> Keeper:
    """Return what turns a source's entries into what is stored of them; `shape` is `stored_shape` of the two."""
    if isinstance(settings, ImageSettings):
        return _Files(source, settings, shape)
    return _Pixels(source)


class _Pixels:
    """Keeps pixels as they come."""

    def __init__(self, source: Source):
        self._source = source

    def block(self, places: Sequence[int]) -> Block:
        """Return the pixels of some entries; another shape or type than promised is a bug of the dataset part."""
        import numpy

        shape = self._source.shape
        block = Block()
        pixels = numpy.empty((len(places), *shape), numpy.uint8)
        for place in places:
            image = self._source.read(place)
            if image.shape != shape or image.dtype != numpy.uint8:
                name = self._source.entries[place].id
                raise ValueError(f"{name}: a source of {shape} uint8 images gave {image.shape} {image.dtype}")
            pixels[len(block.places)] = image
            block.places.append(place)
        for image, look in zip(pixels, looks.of_pixels(pixels), strict=True):
            block.kept.append(Kept(image, shape[0], shape[1], False, look))
        return block


class _Files:
    """Keeps image files: as pixels of one shape, as they are, or shrunk."""

    def __init__(self, source: Source, settings: ImageSettings, shape: tuple[int, int, int] | None):
        self._source = source
        self._settings = settings
        self._keep = self._as_pixels(shape) if shape else self._encoded

    def block(self, places: Sequence[int]) -> Block:
        """Return what is kept of some entries, read and decoded on all cores."""
        block = Block()
        for place, found in zip(places, workers.in_order(self._try, places), strict=True):
            if isinstance(found, Kept):
                block.places.append(place)
                block.kept.append(found)
            else:
                block.bad.append(found)
        return block

    def _try(self, place: int) -> Kept | BadImage:
        try:
            return self._keep(self._source.read(place))
        except ImageError as error:
            return BadImage(self._source.entries[place].id, str(error))

    def _as_pixels(self, shape: tuple[int, int, int]) -> Callable[[bytes], Kept]:
        geometry = Geometry(shape, self._settings.resize)

        def keep(data: bytes) -> Kept:
            with images.opened(data, self._settings.max_megapixels) as file:
                look, image = looks.of_image(file, shape[2], geometry)
                return Kept(images.fitted(image, geometry), shape[0], shape[1], False, look)

        return keep

    def _encoded(self, data: bytes) -> Kept:
        short_side = self._settings.short_side
        with images.opened(data, self._settings.max_megapixels) as file:
            plain = images.is_plain(file)
            look, image = looks.of_image(file, 1 if images.is_grey(file) else 3)
            if short_side is None or min(image.size) <= short_side:
                return Kept(data, image.height, image.width, plain, look)
            image, stream = images.shrunk(image, short_side), io.BytesIO()
            image.save(stream, "JPEG", quality=JPEG_QUALITY)
            return Kept(stream.getvalue(), image.height, image.width, True, look)


def stored_shape(source: Source, settings: DataSettings) -> tuple[int, int, int] | None:
    """Return height, width and channels of stored pixels; None where the store holds encoded images."""
    if not isinstance(settings, ImageSettings):
        return source.shape
    if settings.store_as == "encoded":
        return None
    return (*(settings.stored_size or settings.size), settings.channels or _choose_channels(source, settings))


def _choose_channels(source: Source, settings: ImageSettings) -> int:
    """Return 3 at the first image in colour, else 1; bad images are told of when their turn comes."""
    for place, entry in enumerate(source.entries):
        try:
            with images.opened(source.read(place), settings.max_megapixels) as file:
                grey = images.is_grey(file)
        except ImageError:
            continue
        if not grey:
            terminal.note(f"3 channels, since {terminal.printable(entry.id)} is in colour; to choose, set data.channels")
            return 3
    terminal.note("1 channel, since every image is grey; to choose, set data.channels")
    return 1
