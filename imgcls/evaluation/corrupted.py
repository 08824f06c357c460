"""Readers of corrupted images: a pure function of the seed, the corruption, and the image. Light
zone.
"""

import hashlib
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.image.decode import Geometry
from imgcls.parts import PartSettings
from imgcls.store.reader import Reader

if TYPE_CHECKING:
    import numpy


class CorruptedReader:
    """Reads the images of another reader under a corruption; on the host, one batch at a time.

    Args:
        severity: 1..5.
        seed: of all corruptions.
    """

    def __init__(self, reader: Reader, settings: PartSettings, severity: int, seed: int):
        self._reader = reader
        self._settings = settings
        self._severity = severity
        self._seed = seed

    @property
    def geometry(self) -> Geometry:
        """The geometry of the images."""
        return self._reader.geometry

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return corrupted images, uint8 (n, height, width, channels)."""
        images = self._reader.read(indices)
        for position, index in enumerate(indices.tolist()):
            images[position] = corrupt_image(
                images[position],
                self._settings,
                self._severity,
                make_generator(self._seed, self._settings.name, index),
            )
        return images


def corrupt_image(
    image: "numpy.ndarray",
    settings: PartSettings,
    severity: int,
    generator: "numpy.random.Generator",
) -> "numpy.ndarray":
    """Return an image under a corruption, uint8 (height, width, channels)."""
    import numpy

    module = parts.load_for("corruptions", settings)
    values = image.astype(numpy.float32) / numpy.float32(255)
    changed = module.corrupt(settings, values, severity, generator)
    return numpy.rint(numpy.clip(changed, 0, 1) * 255).astype(numpy.uint8)


def make_generator(seed: int, name: str, index: int) -> "numpy.random.Generator":
    """Return the generator of an image under a corruption, the same for all severities.

    Args:
        name: of the corruption.
        index: of the image in its store.
    """
    import numpy

    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return numpy.random.Generator(numpy.random.Philox(int.from_bytes(digest[:16], "big")))
