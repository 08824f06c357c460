"""Describing what resizing does to the images of a source, for a size that the user did not choose.

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.image import decode
from imgcls.image.decode import Geometry

if TYPE_CHECKING:
    import numpy


def describe_sizes(heights: "numpy.ndarray", widths: "numpy.ndarray") -> str:
    """Return how many images there are, and their range, median and most common size.

    Args:
        heights, widths: of the images, integers (n,), in pixels; at least one.
    """
    import numpy

    sizes, counts = numpy.unique(numpy.stack([heights, widths], 1), axis=0, return_counts=True)
    total = f"{len(heights):,} image{'s' if len(heights) > 1 else ''}"
    if len(sizes) == 1:
        return f"{total} of {_format(*sizes[0].tolist())}"
    common = f", most often {_format(*sizes[counts.argmax()].tolist())} ({counts.max():,})"
    return (
        f"{total} with heights of {heights.min()} to {heights.max()} and widths of {widths.min()}"
        f" to {widths.max()}, median {_format(*_compute_median(heights, widths))}"
        f"{common if counts.max() > 1 else ''}"
    )


def describe_median(heights: "numpy.ndarray", widths: "numpy.ndarray", geometry: Geometry) -> str:
    """Return what becomes of an image of the median height and the median width.

    Args:
        heights, widths: as for `describe_sizes`.
    """
    is_same = heights.min() == heights.max() and widths.min() == widths.max()
    subject = "each" if is_same else "an image of the median size"
    return f"{subject} {describe_resizing(*_compute_median(heights, widths), geometry)}"


def _compute_median(heights: "numpy.ndarray", widths: "numpy.ndarray") -> tuple[int, int]:
    """Return the median height and the median width, to the nearest pixel."""
    import numpy

    return round(float(numpy.median(heights))), round(float(numpy.median(widths)))


def describe_resizing(height: int, width: int, geometry: Geometry) -> str:
    """Return what becomes of an image: its size without bars, and what is added or lost."""
    target_height, target_width, _ = geometry.shape
    target = (target_width, target_height)
    if (width, height) == target:
        return "stays as it is"
    new_width, new_height = decode.compute_scaled_size((width, height), target, geometry.resize)
    if geometry.resize == "stretch":
        return (
            f"becomes {_format(*geometry.shape[:2])}, {_describe_stretching(height, width, target)}"
        )
    scale = max(new_width / width, new_height / height)
    enlarged = f", enlarged {scale:.1f} times" if scale > 1.05 else ""
    area, new_area = target_height * target_width, new_height * new_width
    if geometry.resize == "pad":
        bars = _format_percentage(1 - new_area / area)
        rest = f"with bars over {bars} of the area" if bars else "without bars"
        return f"becomes {_format(new_height, new_width)}{enlarged}, {rest}"
    lost = _format_percentage(1 - area / new_area)
    rest = f"with {lost} of its area cut off" if lost else "with nothing cut off"
    return f"becomes {_format(target_height, target_width)}{enlarged}, {rest}"


def _describe_stretching(height: int, width: int, target: tuple[int, int]) -> str:
    """Return how much more one side is stretched than the other."""
    ratio = (target[0] / width) / (target[1] / height)
    more, less = ("width", "height") if ratio > 1 else ("height", "width")
    return (
        f"its {more} stretched {max(ratio, 1 / ratio):.2f} times as much as its {less}"
        if abs(ratio - 1) > 0.005
        else "with the same aspect ratio"
    )


def _format(height: int, width: int) -> str:
    return f"{height}x{width}"


def _format_percentage(fraction: float) -> str:
    """Return a fraction of an area in percent; nothing for less than half a percent."""
    return f"{100 * fraction:.0f} %" if fraction >= 0.005 else ""
