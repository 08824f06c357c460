"""First-layer filters: the kernels of the first convolution, as images. Light zone.

Each filter has its own scale: gray is 0, white its largest weight. Smooth edges, blobs and colors
are what a trained layer looks like; noise is what an untrained one does. Read from model.keras
without TensorFlow.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.errors import DataError, UserError
from imgcls.figures import NotDrawableError, Subject, _mosaic, _style
from imgcls.parts import PartSettings
from imgcls.transfer.keras_file import read_keras_file

if TYPE_CHECKING:
    import numpy
    from matplotlib.figure import Figure

COLUMNS = 16
"""Filters in a row."""
FRAME = 3
"""Pixels of paper around each filter."""
PIXELS = 9
"""Pixels of a weight, so that filters of 3x3 are not smaller than their margins."""

HOW_TO_READ = (
    "Edges, blobs and colors are signs of a trained layer, noise those of an untrained one."
)


class Settings(PartSettings):
    """The settings of the filters."""

    count: Annotated[int, Field(ge=1)] = 128
    """Filters shown, at most: those with the largest norm."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw the filters in a grid, those with the largest norm first.

    Raises:
        NotDrawableError: the model has no convolution on images, or is not a file of Keras.
    """
    import numpy

    layer, kernel = _find_kernel(subject)
    norms = numpy.sqrt((kernel**2).sum(axis=(0, 1, 2)))
    order = numpy.argsort(-norms, kind="stable")[: settings.count]
    filters = [_frame(_to_pixels(kernel[:, :, :, i])) for i in order]
    rows = [numpy.stack(filters[i : i + COLUMNS]) for i in range(0, len(filters), COLUMNS)]
    height, width, channels, count = kernel.shape
    small = int((norms < 0.05 * norms.max()).sum())
    few = f", the {len(order)} of the largest norm" if len(order) < count else ""
    dead = f"; {small} have a norm below 5 % of the largest" if small else ""
    title = f"{count} filters of {height}x{width}x{channels} in layer {layer}{few}{dead}"
    figure = _style.make_figure(_style.WIDTH, 1.0 + 0.42 * len(rows) * height / width)
    axes = figure.subplots()
    axes.imshow(_mosaic.make_mosaic(rows, min(COLUMNS, len(filters))), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9)
    return figure


def _find_kernel(subject: Subject) -> "tuple[str, numpy.ndarray]":
    """Return the name of the first convolution on images, and its kernel, float (height, width,
    channels, filters).
    """
    path = subject.run.keras_file
    try:
        weights = read_keras_file(path)
    except (DataError, UserError) as error:
        raise NotDrawableError(f"the filters cannot be read: {error}") from None
    channels = subject.data.shape[2]
    order = [each.get("config", {}).get("name") for each in weights.layer_configs or []]
    names = sorted(weights.layers, key=lambda name: order.index(name) if name in order else -1)
    for name in names:
        for tensor in weights.layers[name]:
            if tensor.array.ndim == 4 and tensor.array.shape[2] == channels:
                return name, tensor.array.astype("float64")
    raise NotDrawableError(
        f"{path} has no convolution whose input has the {channels} channels of the images"
    )


def _frame(image: "numpy.ndarray") -> "numpy.ndarray":
    """Return an image inside a frame of paper, so that neighbors do not run together."""
    import numpy

    sides = ((FRAME, FRAME), (FRAME, FRAME), (0, 0))
    return numpy.pad(image, sides, constant_values=int(_style.PAPER[1:3], 16))


def _to_pixels(weights: "numpy.ndarray") -> "numpy.ndarray":
    """Return a filter as an image, uint8 (height, width, 1 or 3), with 0 as middle gray."""
    import numpy

    shown = weights if weights.shape[2] == 3 else weights.mean(axis=2, keepdims=True)
    largest = max(float(abs(shown).max()), 1e-12)
    levels = numpy.rint(127.5 + 127.5 * shown / largest).astype(numpy.uint8)
    return levels.repeat(PIXELS, axis=0).repeat(PIXELS, axis=1)
