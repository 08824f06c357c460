"""A grid of images with a label for each row, shared by figures that show images. Light zone."""

from typing import TYPE_CHECKING

from imgcls.figures import _style

if TYPE_CHECKING:
    import numpy
    from matplotlib.figure import Figure

CELL_INCHES = 0.62
"""Width of a cell. Ten cells and a class name fill the width of the page."""
MARGIN = 0.03
"""Margin around each image, as a fraction of its height."""


def draw(rows: "list[numpy.ndarray]", names: list[str], columns: int, title: str) -> "Figure":
    """Draw a grid of images.

    Args:
        rows: images of each row, uint8 (n, height, width, channels) with n from 0 to `columns`.
        names: labels of the rows.
        columns: cells per row; those without an image stay empty.
        title: of the figure. Of images with 2 or more than 3 channels, only the first channel is
            shown, which is added to the title.
    """
    height, width, channels = rows[0].shape[1:]
    figure = _style.make_figure(_style.WIDTH, 0)
    axes = figure.subplots()
    cell_height = CELL_INCHES * height / width
    figure.set_size_inches(columns * CELL_INCHES + 2.2, len(rows) * cell_height + 0.6)
    axes.imshow(
        make_mosaic(rows, columns),
        extent=(-0.5, columns - 0.5, len(rows) - 0.5, -0.5),
        aspect=height / width,
    )
    axes.set_xticks([])
    _style.label_rows(axes, names)
    axes.spines[:].set_visible(False)
    axes.set_title(title if channels in (1, 3) else f"{title}; channel 1 of {channels}")
    return figure


def make_mosaic(rows: "list[numpy.ndarray]", columns: int) -> "numpy.ndarray":
    """Arrange images in a grid on a light gray background.

    Returns:
        uint8 (rows * cell height, columns * cell width, 3).
    """
    import numpy

    height, width = rows[0].shape[1:3]
    margin = max(1, round(MARGIN * height))
    cell_height, cell_width = height + 2 * margin, width + 2 * margin
    paper = int(_style.PAPER[1:3], 16)
    canvas = numpy.full((len(rows) * cell_height, columns * cell_width, 3), paper, numpy.uint8)
    for i, images in enumerate(rows):
        for j, image in enumerate(images):
            top, left = i * cell_height + margin, j * cell_width + margin
            canvas[top : top + height, left : left + width] = to_rgb(image)
    return canvas


def to_rgb(image: "numpy.ndarray") -> "numpy.ndarray":
    """Return an image as RGB, uint8 (height, width, 3): of 1, 2 or more than 3 channels, the first
    one as grayscale.
    """
    return image if image.shape[2] == 3 else image[:, :, :1].repeat(3, axis=2)
