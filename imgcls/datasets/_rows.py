"""Reading the rows of an array that may be larger than memory. Light zone."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.io.open_file import OpenFile

if TYPE_CHECKING:
    import numpy


def load_or_map(path: Path) -> "numpy.ndarray":
    """Return the array in an .npy file; mapped if it has rows that `make_row_reader` can read.

    Arrays with one value per image are loaded, as are those in Fortran order, whose rows are not
    contiguous.
    """
    import numpy

    mapped = numpy.load(path, mmap_mode="r", allow_pickle=False)
    is_mapped = mapped.ndim > 2 and mapped.flags.c_contiguous
    return mapped if is_mapped else numpy.load(path, allow_pickle=False)


def make_row_reader(array: "numpy.ndarray") -> "Callable[[int], numpy.ndarray]":
    """Return a function that reads a row of an array.

    Of a mapped array, only shape, dtype and position in the file are used, which does not touch the
    mapped memory; see imgcls/io/open_file.py.
    """
    import numpy

    if not isinstance(array, numpy.memmap):
        return lambda index: numpy.ascontiguousarray(array[index])
    file = OpenFile(Path(str(array.filename)), "run the same command again once it is complete")
    first = array.offset

    def read(index: int) -> "numpy.ndarray":
        row = numpy.empty(array.shape[1:], array.dtype)
        file.read_into(row.reshape(-1).view(numpy.uint8).data, first + index * row.nbytes)
        return row

    return read
