"""Importing Pillow with other limits than its own. Light zone."""

import warnings
from functools import cache
from types import ModuleType

_MAX_PNG_TEXT = 1 << 28
"""Bytes of texts and color profiles in a PNG, which are decompressed; Pillow's own limit of 1 MiB
refuses ordinary files of image editors."""


@cache
def import_pillow() -> ModuleType:
    """Import PIL.Image, and turn off its pixel limit and its warnings.

    The limit would reject images that `max_megapixels` allows, and cannot be set per call. The
    warnings concern damaged EXIF data, without naming a file; such an image counts as upright.
    """
    from PIL import Image, PngImagePlugin

    Image.MAX_IMAGE_PIXELS = None
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = _MAX_PNG_TEXT
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return Image
