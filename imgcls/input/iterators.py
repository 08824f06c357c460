"""Iterators over batches: in-memory on the devices, or streaming through tf.data. Heavy zone.

Both give the same numbers, in stages: the inputs of one execution of the compiled loop, which takes
several steps; from these, before the loop, what each replica needs of them; in the loop, the inputs
of each replica at a step; and from these, on the replica, its local batch.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import Literal

from imgcls.backend import tf
from imgcls.input.batches import Examples, SequentialBatches
from imgcls.input.in_memory_iterator import InMemoryIterator
from imgcls.input.loaders import HostMemoryLoader, Loader, StoreLoader
from imgcls.input.streaming_iterator import StreamingIterator

BatchIterator = InMemoryIterator | StreamingIterator

Placement = Literal["devices", "host", "store"]
"""Where batches take their images from."""


def choose_placement(
    *, on_gpus: bool, augmented: bool, fits: bool, crops_on_read: bool
) -> Placement:
    """Return where batches should take their images from.

    Images are augmented in the step if they are on the devices, and otherwise in tf.data, on the
    CPU beside the step. On a GPU, it is always the latter: an augmentation there would copy dozens
    of tensors over the bus in every step, and the pixels would depend on the machine.

    Args:
        on_gpus: whether the model is trained on GPUs.
        fits: whether the images fit `train.device_cache_mib`.
        crops_on_read: whether images are cropped when they are read, so that no epoch can reuse
            them.
    """
    if crops_on_read or not fits:
        return "store"
    return "host" if on_gpus and augmented else "devices"


def find_placement(
    batches: SequentialBatches, strategy: tf.distribute.Strategy, fits: bool
) -> Placement:
    """Return where batches should take their images from, as `choose_placement` does."""
    return choose_placement(
        on_gpus=any("GPU" in device for device in strategy.extended.worker_devices),
        augmented=batches.augments,
        fits=fits,
        crops_on_read=batches.crops_on_read,
    )


def open_iterator(
    batches: SequentialBatches,
    strategy: tf.distribute.Strategy,
    images: Sequence[Examples],
    device_cache_mib: int,
    start: int,
    stages: dict[str, float],
) -> closing[BatchIterator]:
    """Return an iterator over batches from step `start` on, to close after use.

    Args:
        images: all that would be on the devices at once, to fit `device_cache_mib` together.
        stages: as for `make_iterator`.
    """
    fits = sum(each.nbytes for each in images) <= device_cache_mib * 2**20
    placement = find_placement(batches, strategy, fits)
    return closing(make_iterator(placement, batches, strategy, start, stages))


def make_iterator(
    placement: Placement,
    batches: SequentialBatches,
    strategy: tf.distribute.Strategy,
    start: int,
    stages: dict[str, float],
) -> BatchIterator:
    """Return an iterator over batches from step `start` on; their images lie in `placement`.

    Args:
        stages: the seconds that `reading` and `augmentation` took in all threads; it adds to them.
    """
    if placement == "devices":
        return InMemoryIterator(batches, strategy)
    rows = batches.batch_size // strategy.num_replicas_in_sync
    loader: Loader = (
        HostMemoryLoader(batches, rows)
        if placement == "host"
        else StoreLoader(batches, rows, stages)
    )
    return StreamingIterator(batches, strategy, loader, start, stages)
