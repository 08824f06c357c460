"""Full batches from images of which some cannot be read. Heavy zone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy

from imgcls.prediction.inputs import Input

Item = TypeVar("Item")


@dataclass(frozen=True)
class Batch:
    """Images in their order.

    Attributes:
        inputs: all of them, those that cannot be read among them.
        images: the others, uint8 (images, height, width, channels).
    """

    inputs: list[Input]
    images: numpy.ndarray


def divide(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of a size; the last one may be shorter."""
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def form_batches(read: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Yield batches in which `size` images can be read, except in the last one.

    So an image that cannot be read moves no other one to another place in its batch than it would
    have without it. Where every image can be read, nothing is copied.

    Args:
        read: batches of at most `size` images.
    """
    rest = Batch([], numpy.empty((0,)))
    for batch in read:
        if not rest.inputs:
            rest = batch
        else:
            images = [each.images for each in (rest, batch) if len(each.images)]
            joined = numpy.concatenate(images) if images else batch.images
            rest = Batch([*rest.inputs, *batch.inputs], joined)
        if len(rest.images) >= size:
            full, rest = _split(rest, size)
            yield full
    if rest.inputs:
        yield rest


def _split(batch: Batch, size: int) -> tuple[Batch, Batch]:
    """Divide a batch after the image that completes a full one."""
    if len(batch.images) == size:
        return batch, Batch([], batch.images[:0])
    usable = numpy.flatnonzero([each.problem is None for each in batch.inputs])
    end = int(usable[size - 1]) + 1
    return (
        Batch(batch.inputs[:end], batch.images[:size]),
        Batch(batch.inputs[end:], batch.images[size:]),
    )
