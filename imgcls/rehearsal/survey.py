"""What a folder or a list of images holds, for a first experiment on it. Light zone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgcls import parts
from imgcls.datasets import Source, SplitName
from imgcls.errors import DataError
from imgcls.image import decode
from imgcls.image.decode import ImageError

SAMPLE = 200
"""Images that are opened, evenly spaced over all of them; only their headers are read."""
_LISTS = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        dataset: the part that reads it: `folder`, `manifest` or `arrays`.
        path: of the folder, list or file.
        class_counts: the number of images of each class, by class.
        split_counts: the number of images of each split that the source has.
        sizes: (height, width) of each image of the sample, upright.
        channels: 1 if all images of the sample are grayscale, else 3; more for arrays.
        bad: images of the sample that cannot be opened, and those of which that was known.
    """

    dataset: str
    path: Path
    class_counts: dict[str, int]
    split_counts: dict[SplitName, int]
    sizes: list[tuple[int, int]]
    channels: int
    bad: int

    @property
    def count(self) -> int:
        """The number of images."""
        return sum(self.class_counts.values())


def survey(path: Path) -> Survey:
    """Look at a folder with a folder for each class, a list of images, or a file of arrays.

    Raises:
        DataError: it is missing, or has another layout; or no image can be opened.
        UserError: as the `prepare` of the data set.
    """
    dataset, path = _find_dataset(path)
    settings = parts.load("datasets", dataset).Settings(name=dataset, path=str(path))
    source: Source = parts.load("datasets", dataset).prepare(settings)
    sizes, channels, bad = _look_at_sample(source)
    if not sizes:
        raise DataError(f"{path}: none of {bad} images can be opened; the first: {source.bad[:1]}")
    labels = Counter(entry.label for entry in source.entries)
    return Survey(
        dataset,
        path,
        {name: labels[label] for label, name in enumerate(source.classes)},
        dict(Counter(entry.split for entry in source.entries)),
        sizes,
        channels,
        bad + len(source.bad),
    )


def _find_dataset(path: Path) -> tuple[str, Path]:
    """Return the part that reads a path, and the list if a folder holds images beside a list."""
    if path.suffix in _LISTS:
        return "manifest", path
    if path.suffix == ".npz" or (path / "images.npy").exists():
        return "arrays", path
    inside = list(path.iterdir()) if path.is_dir() else []
    lists = [each for each in inside if each.suffix in _LISTS]
    has_classes = sum(each.is_dir() for each in inside) > 1
    return ("manifest", lists[0]) if len(lists) == 1 and not has_classes else ("folder", path)


def _look_at_sample(source: Source) -> tuple[list[tuple[int, int]], int, int]:
    """Return the sizes of a sample, the channels, and how many images cannot be opened."""
    if source.shape:
        height, width, channels = source.shape
        return [(height, width)], channels, 0
    sizes, is_gray, bad = [], True, 0
    step = max(1, len(source.entries) // SAMPLE)
    for index in range(0, len(source.entries), step):
        try:
            data: Any = source.read(index)
            with decode.open_image(data, max_megapixels=100.0) as image:
                turned = decode.get_orientation(image) >= 5
                width, height = image.size[::-1] if turned else image.size
                is_gray = is_gray and image.mode in ("1", "L", "LA", "I;16", "I;16B", "I;16L")
        except ImageError:
            bad += 1
        else:
            sizes.append((height, width))
    return sizes, 1 if is_gray else 3, bad


def find_median(values: Sequence[int]) -> int:
    """Return the lower median."""
    return sorted(values)[(len(values) - 1) // 2]
