"""NumPy arrays of images, labels, and optionally classes, splits, groups and weights.

They come from an .npz archive or a folder of .npy files, under any names, such as those of Keras
(x_train, y_train, ...) or MedMNIST (train_images, train_labels, ...; Yang et al., 2023,
https://doi.org/10.1038/s41597-022-01721-8).

Light zone.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from imgcls.datasets import DataSettings, Entry, Source, SplitName, _array_files
from imgcls.datasets._array_files import ArrayFiles
from imgcls.errors import DataError

if TYPE_CHECKING:
    import numpy

Names = str | dict[SplitName, str]
"""The name of one array for all images, or of one array for each split."""


class Settings(DataSettings):
    """The settings of arrays."""

    path: str
    """An .npz archive, which is loaded into memory, or a folder of .npy files, read one by one."""
    images: Names = "images"
    """The array of images, (n, height, width) or (n, height, width, channels) with any number of
    channels; or one for each split, such as {train: x_train, test: x_test}."""
    labels: Names = "labels"
    """The array of labels, integers or text; or one for each split."""
    classes: str | list[str] | None = None
    """Class names, or the array that holds them; integer labels are indices into them. By default
    the labels that occur, sorted."""
    own_splits: str | None = None
    """The array that says train, validation or test for each image of a single array."""
    groups: Names | None = None
    """The array of groups: images of one group stay in one split; or one for each split."""
    weights: Names | None = None
    """The array of weights: how often sampling by weight draws an image; or one for each split."""
    range: list[float] | None = pydantic.Field(None, min_length=2, max_length=2)
    """The values that become 0 and 255; by default images are uint8 and stored as they are."""

    @pydantic.model_validator(mode="after")
    def _check_names(self) -> "Settings":
        splits = _map_by_split(self.images).keys()
        for name in ("labels", "groups", "weights"):
            names = getattr(self, name)
            if names is not None and (
                _map_by_split(names).keys() != splits
                or isinstance(names, str) != isinstance(self.images, str)
            ):
                raise ValueError(
                    f"{name} must name one array for each array that images names; got {names}"
                )
        if self.own_splits and not isinstance(self.images, str):
            raise ValueError(
                "own_splits needs a single array of images, but images names an array per split"
            )
        if "train" not in splits:
            raise ValueError("images must name an array for train")
        if len(set(_map_by_split(self.images).values())) < len(splits):
            raise ValueError(
                "images names one array for two splits, so that the model would be tested on images"
                " that it was trained on"
            )
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError(f"range must be [low, high] with low < high; got {self.range}")
        return self


def prepare(settings: Settings) -> Source:
    """Open the arrays.

    Raises:
        DataError: the file is missing or damaged, or an array is missing, has another shape or
            dtype, or holds a value that is not allowed.
    """
    files = ArrayFiles(Path(settings.path).expanduser())
    images = {
        name: _array_files.check_images(files.load(name), name, bool(settings.range))
        for name in _map_by_split(settings.images).values()
    }
    shape = _array_files.require_one_shape(images)
    names = settings.classes
    if isinstance(names, str):
        names = _array_files.parse_texts(files.load(names), names)
    classes, labels = _array_files.parse_labels(
        {name: files.load(name) for name in _map_by_split(settings.labels).values()}, names
    )
    entries = [
        entry
        for split, numbers in zip(_map_by_split(settings.images), labels, strict=True)
        for entry in _make_entries(files, settings, split, numbers)
    ]
    return Source(
        classes,
        entries,
        _array_files.make_reader(images, settings.range),
        files.version,
        shape=shape,
        empty_splits={
            split: f"the array '{name}' holds no images"
            for split, name in _map_by_split(settings.images).items()
            if not len(images[name])
        },
    )


def _map_by_split(names: Names) -> dict[SplitName, str]:
    return {"train": names} if isinstance(names, str) else names


def _make_entries(
    files: ArrayFiles, settings: Settings, split: SplitName, labels: list[int]
) -> Iterable[Entry]:
    """Return the entries of one array of images; `own_splits` takes precedence over `split`."""
    name = _map_by_split(settings.images)[split]
    count = len(files.load(name))

    def read(
        names: Names | None,
        parse: "Callable[[numpy.ndarray, str], list[Any]]",
        otherwise: SplitName | float | None,
    ) -> list[Any]:
        """Return a value for each image: those of the named array, or the same for all."""
        if names is None:
            return [otherwise] * count
        array = _map_by_split(names)[split]
        return parse(files.load(array), array)

    columns = {
        "labels": labels,
        "splits": read(settings.own_splits, _array_files.parse_splits, split),
        "groups": read(settings.groups, _array_files.parse_texts, None),
        "weights": read(settings.weights, _array_files.parse_weights, 1.0),
    }
    for column, values in columns.items():
        if len(values) != count:
            raise DataError(
                f"the array '{name}' holds {count:,} images, but there are {len(values):,} {column}"
                " for them"
            )
    return (
        Entry(f"{name}/{index:07d}", *values)
        for index, values in enumerate(zip(*columns.values(), strict=True))
    )
