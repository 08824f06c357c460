"""The embedding map of the page: points that show their picture when the pointer is on them. Light
zone.
"""

import base64
import io
from typing import TYPE_CHECKING

from imgcls.errors import DataError
from imgcls.evaluation.embedding import THUMBNAIL, EmbeddingArrays
from imgcls.figures import NotDrawableError, Subject, _style
from imgcls.figures.embedding_map import MAX_COLORS, find_embedding
from imgcls.report.html import escape_text

if TYPE_CHECKING:
    import numpy

SIZE = 600
"""The side of the map in its own units."""
COLUMNS = 32
"""Thumbnails in a row of the one picture that holds all."""
CAPTION = (
    "The embedding map by t-SNE, with the picture of the image below the pointer; ringed points are"
    " mistakes."
)
QUALITY = 80
"""Of the JPEG of all thumbnails."""


def render_hover_map(subject: Subject) -> str:
    """Return the map by t-SNE as HTML; an empty text if there is none."""
    try:
        found = find_embedding(subject)
        classes = subject.classes
    except (NotDrawableError, DataError):
        return ""
    positions = _scale(found.tsne)
    colors = _choose_colors(found)
    points = "\n".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"{_ring(found, i)}'
        f' data-image="{i}"><title>{escape_text(_describe(found, i, classes))}</title></circle>'
        for i, ((x, y), color) in enumerate(zip(positions.tolist(), colors, strict=True))
    )
    rows = -(-len(found.ids) // COLUMNS)
    sprite = base64.b64encode(_encode_sprite(found.thumbnails)).decode()
    side, box = f"0 0 {SIZE} {SIZE}", f"0 0 {THUMBNAIL} {THUMBNAIL}"
    size = f'width="{COLUMNS * THUMBNAIL}" height="{rows * THUMBNAIL}"'
    lines = [
        '<figure id="hover_map">\n<div class="hover">',
        f'<svg class="map" viewBox="{side}" role="img" aria-label="Embedding map by t-SNE">',
        f"{points}\n</svg>\n<div>",
        f'<svg class="preview" viewBox="{box}" aria-hidden="true">',
        f'<image {size} href="data:image/jpeg;base64,{sprite}"/></svg>',
        '<p class="name" aria-live="polite"></p>\n</div>\n</div>',
        f"<figcaption>{CAPTION}</figcaption>\n</figure>",
    ]
    return "\n".join(lines)


def _scale(positions: "numpy.ndarray") -> "numpy.ndarray":
    """Return positions inside the map, float (n, 2), with a margin; up is up, as in the figure."""
    import numpy

    low, high = positions.min(axis=0), positions.max(axis=0)
    fractions = (positions - low) / numpy.maximum(high - low, 1e-9)
    fractions[:, 1] = 1 - fractions[:, 1]
    return 15 + (SIZE - 30) * fractions


def _choose_colors(found: EmbeddingArrays) -> list[str]:
    """Return the color of each point: of its class, or one for all if there are many classes."""
    present = sorted(set(found.labels.tolist()))
    if len(present) > MAX_COLORS:
        return [_style.COLORS[0]] * len(found.labels)
    by_label = dict(zip(present, _style.COLORS, strict=False))
    return [by_label[label] for label in found.labels.tolist()]


def _ring(found: EmbeddingArrays, index: int) -> str:
    return "" if found.labels[index] == found.predicted[index] else ' class="wrong"'


def _describe(found: EmbeddingArrays, index: int, classes: list[str]) -> str:
    """Return the id of an image, its class, and what is predicted if that is another one."""
    true, predicted = (classes[each[index]] for each in (found.labels, found.predicted))
    text = f"{found.ids[index]}: {true}"
    return text if true == predicted else f"{text}, predicted as {predicted}"


def _encode_sprite(thumbnails: "numpy.ndarray") -> bytes:
    """Return all thumbnails in one JPEG picture, in rows of `COLUMNS`."""
    import numpy
    from PIL import Image

    rows = -(-len(thumbnails) // COLUMNS)
    canvas = numpy.zeros((rows * COLUMNS, THUMBNAIL, THUMBNAIL, 3), numpy.uint8)
    canvas[: len(thumbnails)] = thumbnails
    grid = canvas.reshape(rows, COLUMNS, THUMBNAIL, THUMBNAIL, 3).swapaxes(1, 2)
    image = Image.fromarray(grid.reshape(rows * THUMBNAIL, COLUMNS * THUMBNAIL, 3))
    stream = io.BytesIO()
    image.save(stream, "jpeg", quality=QUALITY)
    return stream.getvalue()
