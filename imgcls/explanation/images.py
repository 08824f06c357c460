"""The images to explain: some of a split, or files. Heavy zone."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy
from scipy import ndimage

from imgcls.config import Experiment
from imgcls.datasets import SplitName
from imgcls.errors import DataError
from imgcls.explainers import Target
from imgcls.input.sampler import shuffle_epoch
from imgcls.io import terminal
from imgcls.io.terminal import to_printable
from imgcls.prediction.batches import divide
from imgcls.prediction.inputs import Input
from imgcls.run import Run
from imgcls.seeds import derive_seed
from imgcls.store import lookup, reader_pool
from imgcls.store.file_reader import FileOpener, FileReaderPool

_BATCH = 64  # images that are read at a time
_SHOWN = 5
BLUR = 1 / 8
"""The std of the blur, as a fraction of the shorter side."""


@dataclass(frozen=True)
class Images:
    """Images in memory.

    Attributes:
        pixels: uint8 (n, height, width, channels).
        ids: image ids from the store, or paths.
        labels: true class numbers, int32 (n,); None if they are not known.
        unread: the files that could not be read, with their problems.
    """

    pixels: numpy.ndarray
    ids: list[str]
    labels: numpy.ndarray | None
    unread: list[Input]

    def take(self, count: int) -> "Images":
        """Return the first images."""
        labels = None if self.labels is None else self.labels[:count]
        return Images(self.pixels[:count], self.ids[:count], labels, self.unread)

    def require_all_read(self) -> None:
        """Raise a `DataError` if files could not be read."""
        if self.unread:
            total = len(self.unread) + len(self.ids)
            raise DataError(
                f"{len(self.unread):,} of {total:,} images could not be read, and are not"
                f" explained:\n{_format_problems(self.unread)}"
            )


def read_split(run: Run, experiment: Experiment, split: SplitName, most: int) -> Images:
    """Read images of a split, chosen at random by the seed, in a random order.

    Args:
        most: number of images, at most.

    Raises:
        DataError: the store is missing, or has changed.
    """
    store, assigned = lookup.open_run_store(run.data, experiment.data.store_dir)
    indices = assigned.get_indices(split)
    order = shuffle_epoch(len(indices), derive_seed(experiment.seed, "explain"), 0)
    chosen = indices[order[:most]]
    reader = reader_pool.open_reader(store, assigned.geometry, experiment.train.data_workers)
    with store.change_detector.guard(), contextlib.closing(reader):
        pixels = _join(reader.read(chosen[i : i + _BATCH]) for i in range(0, len(chosen), _BATCH))
        labels = numpy.asarray(store.labels[chosen], numpy.int32)
        return Images(pixels, store.get_ids(chosen), labels, [])


def read_files(inputs: Sequence[Input], opener: FileOpener, experiment: Experiment) -> Images:
    """Read image files as the run's store would; of many, some that are chosen at random.

    Raises:
        DataError: none of them can be read.
    """
    most = experiment.explain.images
    if len(inputs) > most:
        terminal.note(
            f"explaining {most:,} of {len(inputs):,} images, chosen at random by the seed; for"
            " more, give --set explain.images=N"
        )
        order = shuffle_epoch(len(inputs), derive_seed(experiment.seed, "explain"), 0)
        inputs = [inputs[i] for i in sorted(order[:most].tolist())]
    unread = [each for each in inputs if each.problem]
    paths = [each.path for each in inputs if not each.problem]
    reader = FileReaderPool(opener, experiment.train.data_workers)
    found: list[numpy.ndarray] = []
    ids: list[str] = []
    with contextlib.closing(reader):
        for some in divide(paths, _BATCH):
            pixels, problems = reader.read(some)
            readable = [problem is None for problem in problems]
            found.append(pixels[readable])
            ids += [path for path, is_read in zip(some, readable, strict=True) if is_read]
            pairs = zip(some, problems, strict=True)
            unread += [Input(path, problem) for path, problem in pairs if problem]
    if not ids:
        raise DataError(f"no image could be read:\n{_format_problems(unread)}")
    return Images(_join(found), ids, None, unread)


def make_target(
    pixels: numpy.ndarray, label: int, experiment: Experiment, mean: Sequence[float], number: int
) -> Target:
    """Return what an explainer gets of an image.

    Args:
        pixels: uint8 (height, width, channels).
        label: of the class to explain.
        mean: of the training pixels, per channel, 0..255.
        number: of the image, from 0.
    """
    image = pixels.astype(numpy.float32)
    seed = (derive_seed(experiment.seed, "explain") << 32) + 2 * number
    return Target(image, _make_baseline(image, experiment.explain.baseline, mean), label, seed)


def _make_baseline(image: numpy.ndarray, kind: str, mean: Sequence[float]) -> numpy.ndarray:
    if kind == "blur":
        sigma = BLUR * min(image.shape[:2])
        return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    value = numpy.asarray(mean if kind == "mean" else 0, numpy.float32)
    return numpy.broadcast_to(value, image.shape).copy()


def _join(batches: Iterable[numpy.ndarray]) -> numpy.ndarray:
    return numpy.concatenate(list(batches))


def _format_problems(unread: Sequence[Input]) -> str:
    lines = [f"{to_printable(each.path)}: {each.problem}" for each in unread[:_SHOWN]]
    return terminal.format_lines([*lines, *terminal.list_rest(len(unread), len(lines))])
