"""How images look: measures of each, taken once while a store is built, from which imgcls/checks
find what is odd. Light zone.

The perceptual hash is the sign of the lowest 8x8 frequencies about their median (Zauner, 2010,
"Implementation and benchmarking of perceptual image hash functions", section 3.2.1), taken from the
image's grey values at 32x32 pixels.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from imgcls.image import decode
from imgcls.image.decode import Geometry

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

SIDE = 32
"""Height and width to which an image is reduced before it is hashed."""

COLUMNS = [
    ("hash", "<u8"),
    ("thumbnail", "u1", (8, 8)),
    ("mean", "<f4", (3,)),
    ("digest", "V16"),
    ("height", "<u4"),
    ("width", "<u4"),
    ("format", "S8"),
    ("mode", "S8"),
    ("grey", "?"),
    ("frames", "<u4"),
]
"""A row an image: perceptual hash; grey values at 8x8; mean red, green and blue, or mean of all
channels three times, in 0..255; digest of the stored bytes; height and width of the file as it is
seen; file format and pixel format, in Pillow's words; whether it is grey; frames."""


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """How one image looks: grey values uint8 (32, 32), mean colour, and what its file is."""

    small: "numpy.ndarray"
    mean: tuple[float, float, float]
    height: int
    width: int
    format: str
    mode: str
    grey: bool
    frames: int


def measure_image(
    file: "Image", channels: int, geometry: Geometry | None = None
) -> "tuple[ImageStatistics, Image]":
    """Measure an opened image; return its look, and the image as `decode.decoded` gives it."""
    import numpy
    from PIL import Image

    width, height = decode.get_upright_size(file)
    header = (file.format, file.mode, decode.is_grayscale(file), getattr(file, "n_frames", 1))
    image = decode.decode_upright(file, channels, geometry)
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    mean = numpy.asarray(small).mean(axis=(0, 1))
    return (
        ImageStatistics(
            numpy.asarray(small.convert("L")), tuple(mean.tolist()), height, width, *header
        ),
        image,
    )


def measure_pixels(pixels: "numpy.ndarray") -> list[ImageStatistics]:
    """Measure images of one shape, uint8 (n, height, width, channels)."""
    import numpy

    height, width, channels = pixels.shape[1:]
    means = pixels.mean(axis=(1, 2))
    colours = means if channels == 3 else numpy.repeat(means.mean(axis=1, keepdims=True), 3, axis=1)
    grey = pixels[..., 0] if channels == 1 else pixels @ _compute_luma_weights(channels)
    reduced = (
        (_compute_reduction(height) @ grey.astype(numpy.float32) @ _compute_reduction(width).T)
        .round()
        .astype(numpy.uint8)
    )
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels}x8")
    rows = zip(reduced, colours.tolist(), strict=True)
    return [
        ImageStatistics(small, tuple(colour), height, width, "pixels", mode, channels == 1, 1)
        for small, colour in rows
    ]


def _compute_luma_weights(channels: int) -> "numpy.ndarray":
    """Return by what a channel counts in the grey value: ITU-R 601-2 for three, as Pillow has it,
    else all alike.
    """
    import numpy

    return numpy.array(
        [0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels, numpy.float32
    )


@lru_cache(maxsize=8)
def _compute_reduction(length: int) -> "numpy.ndarray":
    """Return the matrix by which Pillow resizes `length` pixels to `SIDE`, bilinearly and
    antialiased: float32 (SIDE, length).
    """
    import numpy

    scale = length / SIDE
    centres, support = (numpy.arange(SIDE) + 0.5) * scale, max(scale, 1.0)
    weights = numpy.maximum(
        1 - numpy.abs(numpy.arange(length) + 0.5 - centres[:, None]) / support, 0
    )
    return (weights / weights.sum(axis=1, keepdims=True)).astype(numpy.float32)


def make_table(looks: list[ImageStatistics], digests: list[bytes]) -> "numpy.ndarray":
    """Return a row of `COLUMNS` for each image."""
    import numpy

    rows = numpy.zeros(len(looks), COLUMNS)
    if looks:
        grey = numpy.stack([look.small for look in looks])
        rows["hash"] = compute_perceptual_hashes(grey)
        rows["thumbnail"] = grey.reshape(-1, 8, SIDE // 8, 8, SIDE // 8).mean(axis=(2, 4)).round()
        rows["digest"] = numpy.array(digests, "V16")
        for name in ("mean", "height", "width", "format", "mode", "grey", "frames"):
            rows[name] = [getattr(look, name) for look in looks]
    return rows


def compute_perceptual_hashes(grey: "numpy.ndarray") -> "numpy.ndarray":
    """Return the hashes of images, uint64 (n,): bit i is 1 where the i-th of the lowest 8x8
    frequencies is above their median.

    Args:
        grey: (n, 32, 32), grey values.
    """
    import numpy
    from scipy.fft import dctn

    low = dctn(grey.astype(numpy.float32), axes=(1, 2))[:, :8, :8].reshape(-1, 64)
    above = low > numpy.median(low, axis=1, keepdims=True)
    return numpy.packbits(above, axis=1, bitorder="little").view("<u8").ravel()
