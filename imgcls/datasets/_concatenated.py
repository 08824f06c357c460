"""Reading several sequences of images as one. Light zone."""

import bisect
import itertools
from collections.abc import Callable, Sequence, Sized
from typing import TypeVar

Image = TypeVar("Image")


def make_reader(
    sequences: Sequence[Sized], read: Callable[[int, int], Image]
) -> Callable[[int], Image]:
    """Return a function that reads the image at an index into all sequences, one after another.

    Args:
        read: called with the number of a sequence and an index into it.
    """
    ends = list(itertools.accumulate(map(len, sequences)))

    def read_at(index: int) -> Image:
        number = bisect.bisect_right(ends, index)
        return read(number, index - ends[number] + len(sequences[number]))

    return read_at
