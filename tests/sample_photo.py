"""A photo of scikit-learn's, and image files made from pixels."""

import io

import numpy
from PIL import Image
from sklearn.datasets import load_sample_images

PHOTO: numpy.ndarray = load_sample_images().images[0]
"""uint8 (427, 640, 3)."""


def encode(pixels: numpy.ndarray, extension: str = "JPEG", **options: object) -> bytes:
    """Return the bytes of an image file, made by Pillow."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, extension, **options)
    return stream.getvalue()
