"""Predicts with an artifact in its own runtime. Heavy zone."""

from pathlib import Path

import numpy

from imgcls import parts
from imgcls.errors import UserError
from imgcls.evaluation.inference import ImageReader
from imgcls.export.comparison import find_largest
from imgcls.export.convert import silence_libraries, summarize
from imgcls.export.images import ComparedImages
from imgcls.exporters import Runtime
from imgcls.io import terminal

BATCHES = (1, 7, 64)
"""Batches of these sizes must give the same probabilities; the last is that of all other work."""


def open_runtime(name: str, artifact: Path, threads: int) -> Runtime:
    """Open an artifact in its format's runtime.

    Args:
        name: of the exporter.

    Raises:
        UserError: the runtime cannot open it.
    """
    try:
        with silence_libraries():
            return parts.load("exporters", name).load(artifact, threads)
    except MemoryError:
        raise
    except Exception as error:  # runtimes raise nearly anything
        raise UserError(
            f"the runtime of {name} cannot open {artifact}: {summarize(error)}; install the version"
            " that metadata.json names, or export the run again"
        ) from None


def predict(runtime: Runtime, reader: ImageReader, indices: numpy.ndarray) -> numpy.ndarray:
    """Predict images in a runtime, batch by batch.

    Returns:
        float32 (images, classes), in the order of `indices`.
    """
    size = BATCHES[-1]
    starts = range(0, len(indices), size)
    return numpy.concatenate(
        [
            runtime(reader.read(indices[start : start + size]))
            for start in terminal.track(starts, len(starts), "predict")
        ]
    )


def compare_batches(runtime: Runtime, images: ComparedImages, after: numpy.ndarray) -> float:
    """Return the largest difference between probabilities in small batches and in large ones, over
    the first images.

    Args:
        after: what `predict` returned, float32 (images, classes).
    """
    *sizes, most = BATCHES
    pixels = images.reader.read(images.indices[:most])
    differences = [
        runtime(pixels[start : start + size]) - after[start : min(start + size, len(pixels))]
        for size in sizes
        for start in range(0, len(pixels), size)
    ]
    return max(map(find_largest, differences))
