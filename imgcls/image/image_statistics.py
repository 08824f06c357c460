"""Image statistics, computed once while a store is built, for imgcls/checks. Light zone.

The perceptual hash is the sign of the lowest 8x8 frequencies relative to their median (Zauner,
2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1), of the
image in grayscale at 32x32 pixels.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from imgcls.image import decode
from imgcls.image.decode import Geometry

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

SIZE = 32
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
    ("grayscale", "?"),
    ("frames", "<u4"),
]
"""The columns of a row per image: perceptual hash; gray values at 8x8; mean red, green and blue in
0..255, or three times the mean of all channels; digest of the stored bytes; height and width of the
file when upright; file format and pixel format, as Pillow names them; whether it is grayscale;
number of frames."""


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Statistics of one image: gray values uint8 (32, 32), mean color, and what its file is."""

    reduced: "numpy.ndarray"
    mean: tuple[float, float, float]
    height: int
    width: int
    format: str
    mode: str
    grayscale: bool
    frames: int


def measure_image(
    file: "Image", channels: int, geometry: Geometry | None = None
) -> "tuple[ImageStatistics, Image]":
    """Return the statistics of an opened image, and the image as of `decode.decode_upright`."""
    import numpy
    from PIL import Image

    width, height = decode.get_upright_size(file)
    header = (file.format, file.mode, decode.is_grayscale(file), getattr(file, "n_frames", 1))
    image = decode.decode_upright(file, channels, geometry)
    reduced = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    mean = numpy.asarray(reduced).mean(axis=(0, 1))
    return (
        ImageStatistics(
            numpy.asarray(reduced.convert("L")), tuple(mean.tolist()), height, width, *header
        ),
        image,
    )


def measure_pixels(pixels: "numpy.ndarray") -> list[ImageStatistics]:
    """Return the statistics of images of one shape, uint8 (n, height, width, channels)."""
    import numpy

    height, width, channels = pixels.shape[1:]
    means = pixels.mean(axis=(1, 2))
    colors = means if channels == 3 else numpy.repeat(means.mean(axis=1, keepdims=True), 3, axis=1)
    gray = pixels[..., 0] if channels == 1 else pixels @ _compute_luma_weights(channels)
    reduced = (
        (_compute_reduction(height) @ gray.astype(numpy.float32) @ _compute_reduction(width).T)
        .round()
        .astype(numpy.uint8)
    )
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels}x8")
    return [
        ImageStatistics(values, tuple(color), height, width, "pixels", mode, channels == 1, 1)
        for values, color in zip(reduced, colors.tolist(), strict=True)
    ]


def _compute_luma_weights(channels: int) -> "numpy.ndarray":
    """Return the channels' weights in the gray value: ITU-R 601-2 for three, else equal ones."""
    import numpy

    return numpy.array(
        [0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels, numpy.float32
    )


@lru_cache(maxsize=8)
def _compute_reduction(length: int) -> "numpy.ndarray":
    """Return Pillow's matrix for antialiased bilinear resizing, float32 (SIZE, length)."""
    import numpy

    scale = length / SIZE
    centers, support = (numpy.arange(SIZE) + 0.5) * scale, max(scale, 1.0)
    weights = numpy.maximum(
        1 - numpy.abs(numpy.arange(length) + 0.5 - centers[:, None]) / support, 0
    )
    return (weights / weights.sum(axis=1, keepdims=True)).astype(numpy.float32)


def make_table(statistics: list[ImageStatistics], digests: list[bytes]) -> "numpy.ndarray":
    """Return a row of `COLUMNS` for each image."""
    import numpy

    rows = numpy.zeros(len(statistics), COLUMNS)
    if statistics:
        gray = numpy.stack([each.reduced for each in statistics])
        rows["hash"] = compute_perceptual_hashes(gray)
        rows["thumbnail"] = gray.reshape(-1, 8, SIZE // 8, 8, SIZE // 8).mean(axis=(2, 4)).round()
        rows["digest"] = numpy.array(digests, "V16")
        for name in ("mean", "height", "width", "format", "mode", "grayscale", "frames"):
            rows[name] = [getattr(each, name) for each in statistics]
    return rows


def compute_perceptual_hashes(gray: "numpy.ndarray") -> "numpy.ndarray":
    """Return the perceptual hashes of images, uint64 (n,).

    Bit i is 1 if the i-th of the lowest 8x8 frequencies is above their median.

    Args:
        gray: gray values, (n, 32, 32).
    """
    import numpy
    from scipy.fft import dctn

    low = dctn(gray.astype(numpy.float32), axes=(1, 2))[:, :8, :8].reshape(-1, 64)
    above = low > numpy.median(low, axis=1, keepdims=True)
    return numpy.packbits(above, axis=1, bitorder="little").view("<u8").ravel()
