"""The pictures of a page, made smaller if they are too large together. Light zone."""

import io
from collections.abc import Mapping
from pathlib import Path

MOST_BYTES = 3_400_000
"""Bytes of all pictures of a page, at most: in base64, they take a third more, and the page stays
below 5 MB."""
COLORS = 128
"""Colors of a picture that is made smaller, which is seen in photos alone."""
LEAST_WIDTH = 480
"""The width in pixels below which no picture is shrunk."""


def read_pictures(paths: Mapping[str, Path], most_bytes: int = MOST_BYTES) -> dict[str, bytes]:
    """Return PNG files by name; the largest are reduced until all fit.

    Their colors are reduced first, then their width by steps of a quarter. The files stay.
    """
    pictures = {name: path.read_bytes() for name, path in paths.items()}
    reduced: set[str] = set()
    while sum(map(len, pictures.values())) > most_bytes:
        largest = max(pictures, key=lambda name: len(pictures[name]))
        smaller = _reduce(pictures[largest], shrink=largest in reduced)
        if len(smaller) >= len(pictures[largest]):
            break
        pictures[largest] = smaller
        reduced.add(largest)
    return pictures


def _reduce(picture: bytes, shrink: bool) -> bytes:
    """Return a PNG picture with fewer colors, and if `shrink`, three quarters of its width."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        image = opened.convert("RGB")
    if shrink and image.width > LEAST_WIDTH:
        size = (image.width * 3 // 4, image.height * 3 // 4)
        image = image.resize(size, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.quantize(COLORS).save(stream, "png", optimize=True)
    return stream.getvalue()
