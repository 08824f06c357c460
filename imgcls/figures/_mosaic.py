"""Rows of equally large images in one picture; shared by the figures that show images. Light
zone.
"""

from typing import TYPE_CHECKING

from imgcls.figures import _style

if TYPE_CHECKING:
    import numpy
    from matplotlib.figure import Figure

CELL_INCHES = 0.62
"""The width of a cell: ten of them and a class name fill the page."""
MARGIN = 0.03
"""Space around each image, as a share of its height."""


def draw(rows: "list[numpy.ndarray]", names: list[str], columns: int, title: str) -> "Figure":
    """Draw one row of images after another, each with its name at the left.

    Args:
        rows: uint8 (n, height, width, channels) each, with n from 0 to `columns`; missing cells
            stay empty.
        names: one name a row.
        columns: cells a row.
        title: stands above; says so when only one of several channels can be shown.
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
    """Return the images side by side, uint8 (rows * cell height, columns * cell width, 3); paper
    grey where there is none.
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
            # One channel is grey, three are RGB; of any other number the first is shown, as grey.
            canvas[top : top + height, left : left + width] = (
                image if image.shape[2] == 3 else image[:, :, :1]
            )
    return canvas
