"""Bringing windows of pixels to a size by OpenCV: fast, for training alone. Light zone."""

from typing import TYPE_CHECKING

from imgcls.image import buffers

if TYPE_CHECKING:
    import numpy

ALIASING = 1.5
"""From which reduction on a window is smoothed before it is sampled: below, that changes less than
2.4 of 255 grey levels, in the mean.
"""

_scratch = buffers.Scratch()


def write_crop(pixels: "numpy.ndarray", window: list[int], target: "numpy.ndarray") -> None:
    """Resize a window of an image, bilinearly and antialiased, to the height and width of an array,
    and write it there.

    An array of its own for every window would take a third of the time.

    What shrinks by two and more is averaged over whole pixels first. What then still shrinks much
    is smoothed, with the variance that Pillow's antialiased filter would add: (r * r - 1) / 6 along
    an axis that shrinks by r. The result is within 3 grey levels of Pillow's on photos, in the
    mean, at a fifth of its time.
    """
    import cv2

    top, left, height, width = window
    cut = pixels[top : top + max(height, 1), left : left + max(width, 1)]
    target_height, target_width = target.shape[:2]
    size = (
        cut.shape[1] // max(1, cut.shape[1] // target_width),
        cut.shape[0] // max(1, cut.shape[0] // target_height),
    )
    if size != cut.shape[1::-1]:
        room = _scratch.array("averaged", (size[1], size[0], cut.shape[2]))
        cut = cv2.resize(cut, size, dst=room, interpolation=cv2.INTER_AREA)
    down, right = cut.shape[0] / target_height, cut.shape[1] / target_width
    if max(down, right) > ALIASING:
        room = _scratch.array("smoothed", cut.shape)
        cut = cv2.sepFilter2D(
            cut,
            -1,
            _compute_smoothing(right),
            _compute_smoothing(down),
            dst=room,
            borderType=cv2.BORDER_REPLICATE,
        )
    cv2.resize(cut, (target_width, target_height), dst=target, interpolation=cv2.INTER_LINEAR)


def _compute_smoothing(reduction: float) -> "numpy.ndarray":
    """Return three weights whose variance is what an axis lacks that shrinks by `reduction`, less
    than two.
    """
    import numpy

    side = (max(reduction, 1.0) ** 2 - 1) / 12
    return numpy.float32([side, 1 - 2 * side, side])


def flip_images(images: "numpy.ndarray", chosen: "numpy.ndarray") -> None:
    """Turn some images left to right, in place.

    Args:
        images: uint8 (n, height, width, channels).
        chosen: bool (n,).
    """
    import cv2

    for place in chosen.nonzero()[0].tolist():
        cv2.flip(images[place], 1, dst=images[place])
