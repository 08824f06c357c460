"""Image statistics for imgcls/checks, computed once while a store is built. Light zone.

The perceptual hash is pHash: whether each of the lowest 8x8 DCT frequencies of the image, in
grayscale at 32x32 pixels, is above their median (Zauner, 2010, "Implementation and benchmarking of
perceptual image hash functions", section 3.2.1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from imgcls.image import decode

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

SIZE = 32
"""Height and width to which an image is resized before it is hashed."""

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
"""The columns of the table, which has a row per image: perceptual hash; gray values at 8x8 pixels;
mean red, green and blue in 0..255, all three the mean over channels unless there are three; digest
of the stored bytes; height and width after EXIF rotation; file format and pixel format as Pillow
names them; whether the image is grayscale; number of frames.
"""


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Statistics of one image.

    Attributes:
        gray: gray values of the resized image, uint8 (32, 32).
        mean: mean red, green and blue, in 0..255.
        height, width: after EXIF rotation.
        format, mode: file format and pixel format, as Pillow names them.
        grayscale: whether the image is grayscale.
        frames: number of frames, more than 1 for an animation.
    """

    gray: "numpy.ndarray"
    mean: tuple[float, float, float]
    height: int
    width: int
    format: str
    mode: str
    grayscale: bool
    frames: int


def measure_image(
    file: "Image", decode_file: "Callable[[Image], Image]"
) -> "tuple[ImageStatistics, Image]":
    """Decode an opened image, and compute its statistics.

    Args:
        decode_file: decodes the image, upright and with 8 bits per channel.

    Returns:
        The statistics, and the decoded image.
    """
    import numpy
    from PIL import Image

    width, height = decode.get_upright_size(file)
    assert file.format is not None  # it was opened, not made
    # The other pictures of an MPO, such as the depth of a portrait, are not frames of an animation.
    frames = 1 if file.format == "MPO" else getattr(file, "n_frames", 1)
    header = (file.format, file.mode, decode.is_grayscale(file), frames)
    image = decode_file(file)
    small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    mean = numpy.asarray(small).mean(axis=(0, 1))
    return (
        ImageStatistics(
            numpy.asarray(small.convert("L")), tuple(mean.tolist()), height, width, *header
        ),
        image,
    )


def measure_pixels(pixels: "numpy.ndarray") -> list[ImageStatistics]:
    """Compute the statistics of images of one shape, uint8 (n, height, width, channels)."""
    import numpy

    height, width, channels = pixels.shape[1:]
    means = pixels.mean(axis=(1, 2))
    colors = means if channels == 3 else numpy.repeat(means.mean(axis=1, keepdims=True), 3, axis=1)
    gray = pixels[..., 0] if channels == 1 else pixels @ _compute_luma_weights(channels)
    rows, columns = _make_resize_matrix(height), _make_resize_matrix(width)
    small = (rows @ gray.astype(numpy.float32) @ columns.T).round().astype(numpy.uint8)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels}x8")
    return [
        ImageStatistics(values, tuple(color), height, width, "pixels", mode, channels == 1, 1)
        for values, color in zip(small, colors.tolist(), strict=True)
    ]


def _compute_luma_weights(channels: int) -> "numpy.ndarray":
    """Return the weights of the channels in the gray value: ITU-R 601-2 for RGB, or else equal."""
    import numpy

    return numpy.array(
        [0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels, numpy.float32
    )


@lru_cache(maxsize=8)
def _make_resize_matrix(length: int) -> "numpy.ndarray":
    """Return the matrix of Pillow's antialiased bilinear resizing, float32 (SIZE, length)."""
    import numpy

    scale = length / SIZE
    centers, support = (numpy.arange(SIZE) + 0.5) * scale, max(scale, 1.0)
    weights = numpy.maximum(
        1 - numpy.abs(numpy.arange(length) + 0.5 - centers[:, None]) / support, 0
    )
    return (weights / weights.sum(axis=1, keepdims=True)).astype(numpy.float32)


def make_table(statistics: list[ImageStatistics], digests: list[bytes]) -> "numpy.ndarray":
    """Return the table of statistics: a structured array (n,) with `COLUMNS`.

    Args:
        digests: of the stored bytes of each image, 16 bytes.
    """
    import numpy

    rows = numpy.zeros(len(statistics), COLUMNS)
    if statistics:
        gray = numpy.stack([each.gray for each in statistics])
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
        gray: gray values, uint8 (n, 32, 32).
    """
    import numpy
    from scipy.fft import dctn

    low = dctn(gray.astype(numpy.float32), axes=(1, 2))[:, :8, :8].reshape(-1, 64)
    above = low > numpy.median(low, axis=1, keepdims=True)
    return numpy.packbits(above, axis=1, bitorder="little").view("<u8").ravel()
