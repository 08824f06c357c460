"""Test-time augmentation: predictions averaged over views of each image. Light zone.

The views are those of KellerJordan/cifar10-airbench: the image, its horizontal flip, and both
shifted up and left, and down and right. The shifted views count as much together as the others;
pixels that come in are reflected. Probabilities are averaged (Krizhevsky et al., 2012, section
4.1), where airbench averages logits: the log loss of an average of probabilities is at most the
mean of the views' log losses (Jensen), and it needs nothing but the probabilities of model.keras.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgcls.config import Tta
from imgcls.image.decode import Geometry
from imgcls.store.reader import Reader

if TYPE_CHECKING:
    import numpy

SHIFT = 1 / 32
"""The shift as a fraction of height and of width, rounded, and at least 1 pixel: 1 at 32x32."""


@dataclass(frozen=True)
class View:
    """A view of an image.

    Attributes:
        flipped: whether it is flipped horizontally.
        shift: -1 for up and left, 1 for down and right, 0 for none.
    """

    flipped: bool = False
    shift: int = 0


PLAIN = View()
_FLIPS = {False: 0.5, True: 0.5}
_SHIFTS = {0: 0.5, -1: 0.25, 1: 0.25}
METHODS: Mapping[Tta, Mapping[View, float]] = {
    "flip": {View(flipped): weight for flipped, weight in _FLIPS.items()},
    "shift": {View(shift=shift): weight for shift, weight in _SHIFTS.items()},
    "flip_shift": {
        View(flipped, shift): one * other
        for flipped, one in _FLIPS.items()
        for shift, other in _SHIFTS.items()
    },
}
"""The views of each method, each with its weight; the weights add up to 1."""


def list_views(methods: Iterable[Tta]) -> list[View]:
    """Return the views that some methods need, without the plain one, each once."""
    return list(dict.fromkeys(view for name in methods for view in METHODS[name] if view != PLAIN))


def average(
    methods: Iterable[Tta], plain: "numpy.ndarray", views: "Iterable[tuple[View, numpy.ndarray]]"
) -> "dict[Tta, numpy.ndarray]":
    """Average the probabilities of the views of each method.

    Args:
        plain: of the images as they are, float32 (images, classes).
        views: of each view that `list_views` returns, the same; one at a time, to save memory.

    Returns:
        float32 (images, classes) by method.
    """
    import numpy

    sums = {name: METHODS[name][PLAIN] * plain.astype(numpy.float64) for name in methods}
    for view, probabilities in views:
        for name, total in sums.items():
            total += METHODS[name].get(view, 0.0) * probabilities
    return {name: total.astype(numpy.float32) for name, total in sums.items()}


class ViewReader:
    """Reads a view of the images of another reader; on the host, so that a GPU changes no pixel."""

    def __init__(self, reader: Reader, view: View):
        self._reader = reader
        self._view = view

    @property
    def geometry(self) -> Geometry:
        """The geometry of the images."""
        return self._reader.geometry

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return the view of each image, uint8 (n, height, width, channels)."""
        return show(self._reader.read(indices), self._view)


def open_views(reader: Reader, views: Iterable[View]) -> Iterator[ViewReader]:
    """Yield a reader of each view."""
    return (ViewReader(reader, view) for view in views)


def show(images: "numpy.ndarray", view: View) -> "numpy.ndarray":
    """Return a view of images, uint8 (n, height, width, channels)."""
    import numpy

    if view.shift:
        height, width = images.shape[1:3]
        margins = [max(1, round(SHIFT * side)) for side in (height, width)]
        padding = [(0, 0), *[(margin, margin) for margin in margins], (0, 0)]
        top, left = [margin * (1 - view.shift) for margin in margins]
        padded = numpy.pad(images, padding, mode="reflect")
        images = padded[:, top : top + height, left : left + width]
    return numpy.ascontiguousarray(images[:, :, ::-1] if view.flipped else images)
