"""Damaged files of NumPy arrays are errors that say what is wrong."""

import contextlib
import struct

import numpy
import pytest
from test_arrays import IMAGES, LABELS, RANDOM, problem, settings, write

from imgcls.datasets import arrays
from imgcls.errors import DataError


def test_damage_that_python_reports_without_a_word_is_named(tmp_path):
    path = tmp_path / "set.npz"
    numpy.savez(path, images=IMAGES, labels=LABELS)
    data = path.read_bytes().replace(b"(6,), }     ", b"(999999,), }")
    sizes = data.rindex(b"PK\x01\x02") + 20  # of the labels, in the archive's directory
    path.write_bytes(data[:sizes] + struct.pack("<II", 10**7, 10**7) + data[sizes + 8 :])
    assert problem(path).partition("the array 'labels' cannot be read: ")[2]


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_truncated_and_damaged_files_are_errors_or_harmless(tmp_path, kind):
    path = write(tmp_path, kind)
    file = path if kind == "npz" else path / "images.npy"
    data = file.read_bytes()
    for end in range(0, len(data), len(data) // 10):
        file.write_bytes(data[:end])
        assert str(path) in problem(path)
    for _ in range(80):
        damaged = numpy.frombuffer(data, numpy.uint8).copy()
        damaged[RANDOM.integers(0, min(len(data), 300), 3)] = RANDOM.integers(0, 256, 3)
        file.write_bytes(damaged.tobytes())
        with contextlib.suppress(DataError):
            assert arrays.prepare(settings(path)).entries
