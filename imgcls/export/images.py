"""The images on which an artifact is compared with its model. Light zone."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imgcls.config import Experiment
from imgcls.errors import DataError
from imgcls.evaluation import sample
from imgcls.image.decode import Resize
from imgcls.io import terminal
from imgcls.run import Run
from imgcls.store import lookup, reader_pool

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.inference import ImageReader


@dataclass(frozen=True)
class ComparedImages:
    """Images of one split, from the store or from the run's sample.

    Attributes:
        reader: reads them by their indices.
        indices: int64 (images,), at least one.
        labels: true class numbers, int32 (images,).
    """

    reader: "ImageReader"
    indices: "numpy.ndarray"
    labels: "numpy.ndarray"
    split: Literal["validation", "train"]
    source: Literal["store", "sample"]


@contextlib.contextmanager
def open_images(run: Run, experiment: Experiment, resize: Resize) -> Iterator[ComparedImages]:
    """Let the block read a run's validation images; the store must not change meanwhile.

    Without its store, these are the sample that the run keeps, and a note says why. A run without
    validation images is compared on its training images.

    Args:
        resize: of the run's model.

    Raises:
        DataError: the store is missing or changed, and there is no sample.
    """
    try:
        store, assigned = lookup.open_run_store(run.data, experiment.data.store_dir)
    except DataError as error:
        yield _open_sample(run, resize, error)
        return
    split: Literal["validation", "train"] = "validation" if len(assigned.validation) else "train"
    indices = assigned.get_indices(split)
    reader = reader_pool.open_reader(store, assigned.geometry, experiment.train.data_workers)
    with store.change_detector.guard(), contextlib.closing(reader):
        yield ComparedImages(reader, indices, store.labels[indices], split, "store")


def _open_sample(run: Run, resize: Resize, reason: DataError) -> ComparedImages:
    if not os.path.lexists(run.sample_file):
        raise reason
    found = sample.read_sample(run.sample_file)

    import numpy

    terminal.note(f"comparing on the {len(found.labels)} images in {run.sample_file}: {reason}")
    indices = numpy.arange(len(found.labels))
    reader = sample.SampleReader(found, resize)
    return ComparedImages(reader, indices, found.labels, "validation", "sample")
