"""The memory of each model is that of a process of its own."""

import numpy
import pytest
from exportable_run import build_logits

from imgcls.backend import keras
from imgcls.compression import peak_memory
from imgcls.compression.litert_file import convert_model
from imgcls.errors import UserError

SHAPE = (8, 8, 1)
WEIGHTS = 32 * 2**20
"""Weights of the larger model, of 4 bytes each: 128 MiB."""


def make_models():
    """Return a small model, and one with more weights, from images to ten numbers."""
    small = build_logits(SHAPE, 10)
    images = keras.Input(SHAPE, dtype="uint8", name="images")
    pixels = keras.layers.Rescaling(1 / 255)(keras.layers.Flatten()(images))
    wide = keras.layers.Dense(WEIGHTS // 74, kernel_initializer="ones")(pixels)
    return small, keras.Model(images, keras.layers.Dense(10, kernel_initializer="ones")(wide))


def assert_larger(small, large):
    """Check that the larger model needs the memory of its weights more, once or a few times."""
    assert 100 < large - small < 600


@pytest.mark.full  # two processes import TensorFlow
def test_a_model_with_more_weights_needs_as_much_more_memory(tmp_path):
    paths = [tmp_path / "small.keras", tmp_path / "large.keras"]
    for path, model in zip(paths, make_models(), strict=True):
        model.save(path)
    held = numpy.ones(2**28, numpy.uint8)  # by this process, which must not count
    small, large = peak_memory.measure(paths, SHAPE, 1)
    assert_larger(small, large)
    assert 100 < small < 1500, held[0]


@pytest.mark.extras
def test_the_memory_of_litert_is_without_that_of_tensorflow(tmp_path):
    paths = [tmp_path / "small.tflite", tmp_path / "large.tflite"]
    for path, model in zip(paths, make_models(), strict=True):
        path.write_bytes(convert_model(model, "float32", None, tmp_path))
    small, large = peak_memory.measure(paths, SHAPE, 1)
    assert_larger(small, large)
    assert small < 200


def test_a_process_that_ends_early_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"measures the memory of .*missing.tflite ended: "):
        peak_memory.measure([tmp_path / "missing.tflite"], SHAPE, 1)
