"""Numpy's arrays from files, by name: the members of an .npz archive, or the .npy files of a
folder. Light zone.

A member of an .npz is loaded into memory whole; an .npy file is memory-mapped, so that it may be
larger than the memory. Nothing is ever unpickled, since to unpickle is to run what the file says.
"""

import bisect
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.datasets import MAX_WEIGHT, SPLITS, _image_files
from imgcls.errors import DataError
from imgcls.io import terminal

if TYPE_CHECKING:
    import numpy


class ArrayFiles:
    """The arrays in an .npz archive or in a folder.

    Raises:
        DataError: there is neither, or it cannot be listed; later, where an array is asked for that
            is missing or damaged.
    """

    def __init__(self, path: Path):
        self._path = path
        self._names = _list_array_names(path)
        self.load = functools.cache(self._load)

    @property
    def version(self) -> str:
        """Another text whenever a file may have changed."""
        return _image_files.compute_version([self._file(name) for name in self._names])

    def _file(self, name: str) -> Path:
        return self._path / f"{name}.npy" if self._path.is_dir() else self._path

    def _load(self, name: str) -> "numpy.ndarray":
        import numpy

        if name not in self._names:
            raise DataError(
                f"data.path: {self._path} has no array '{name}'; it has"
                f" {', '.join(self._names) or 'none'}"
            )
        try:
            if self._path.is_dir():
                return numpy.load(self._file(name), mmap_mode="r", allow_pickle=False)
            with self._path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as archive:
                return archive[name]
        except Exception as error:  # a damaged header or archive raises errors of a dozen types
            raise DataError(
                f"{self._path}: the array '{name}' cannot be read: {error or type(error).__name__}"
            ) from None


def _list_array_names(path: Path) -> list[str]:
    """Return the names of the arrays in an .npz archive or in a folder."""
    import numpy

    if path.is_dir():
        return sorted(file.stem for file in path.glob("*.npy"))
    if path.suffix != ".npz":
        raise DataError(
            f"data.path: {path} is neither a folder of .npy files nor an .npz archive; give one of"
            " the two"
        )
    try:
        with path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as archive:
            return sorted(archive.files)
    except OSError as error:
        raise DataError(f"data.path: cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        raise DataError(
            f"data.path: {path} is not an .npz archive, or damaged: {error or type(error).__name__}"
        ) from None


def check_images(images: "numpy.ndarray", name: str, scaled: bool) -> "numpy.ndarray":
    """Return images as (n, height, width, channels); grey ones may come without the last axis.

    Raises:
        DataError: the shape or the type is another.
    """
    shape = images.shape
    if images.ndim not in (3, 4) or 0 in shape[1:]:
        raise DataError(
            f"the array '{name}' has the shape {shape}; images are (n, height, width) or (n,"
            " height, width, channels)"
        )
    if images.dtype.kind not in "buif":
        raise DataError(
            f"the array '{name}' holds {images.dtype}; images are uint8, or other numbers with"
            " data.range"
        )
    if images.dtype != "uint8" and not scaled:
        raise DataError(
            f"the array '{name}' holds {images.dtype}; say with data.range which values are black"
            " and white, such as [0, 1] or [0, 65535]"
        )
    return images.reshape(*shape[:3], -1) if images.ndim == 3 else images


def require_one_shape(images: "Mapping[str, numpy.ndarray]") -> tuple[int, int, int]:
    """Return height, width and channels of the images in some arrays.

    Raises:
        DataError: they differ.
    """
    shapes = {array.shape[1:] for array in images.values()}
    if len(shapes) > 1:
        raise DataError(
            f"the images of {', '.join(images)} have different shapes:"
            f" {', '.join(map(str, sorted(shapes)))}"
        )
    (shape,) = shapes
    if shape[0] <= 4 < shape[2]:
        terminal.note(
            f"images of {shape[0]}x{shape[1]} with {shape[2]} channels: if the channels come first,"
            " transpose the array"
        )
    return shape


def make_reader(
    images: "Mapping[str, numpy.ndarray]", bounds: Sequence[float] | None
) -> "Callable[[int], numpy.ndarray]":
    """Return what reads the image at a place, one array behind the other, as uint8.

    Args:
        bounds: the values that become 0 and 255; unless given, the images are uint8.
    """
    names = list(images)
    ends = list(itertools.accumulate(len(array) for array in images.values()))

    def read(place: int) -> "numpy.ndarray":
        position = bisect.bisect_right(ends, place)
        name = names[position]
        number = place - ends[position]  # counted from the array's end
        image = images[name][number]
        return (
            _to_bytes(image, *bounds, f"{name}[{number + len(images[name])}]") if bounds else image
        )

    return read


def _to_bytes(image: "numpy.ndarray", low: float, high: float, place: str) -> "numpy.ndarray":
    """Return an image with `low` as 0 and `high` as 255, to the nearest, or refuse a value beyond
    the two, and what is not a number.
    """
    import numpy

    values = image.astype(numpy.float64)
    wrong = ~((values >= low) & (values <= high))  # so that NaN is wrong, too
    if wrong.any():
        first = tuple(numpy.argwhere(wrong)[0].tolist())
        raise DataError(
            f"{place}: the value at {first} is {image[first]}; {wrong.sum():,} of its values are"
            f" outside data.range, {low:g} to {high:g}"
        )
    return numpy.rint((values - low) / (high - low) * 255).astype(numpy.uint8)


def parse_labels(
    arrays: Mapping[str, "numpy.ndarray"], names: Sequence[str] | None
) -> tuple[list[str], list[list[int]]]:
    """Return class names, and the class numbers of each array of labels.

    Args:
        arrays: integers or text, (n,) or (n, 1), by the arrays' names.
        names: the class names, of which integers are the places; unless given, the classes are the
            labels that occur, sorted.

    Raises:
        DataError: the labels are of another shape or type, or none of the class names; or there are
            fewer than two classes.
    """
    flat = {name: _parse_flat_labels(array, name) for name, array in arrays.items()}
    is_text = {isinstance(value, str) for values in flat.values() for value in values[:1]}
    if len(is_text) == 2:
        raise DataError(
            f"the arrays {', '.join(arrays)} hold text and numbers; labels are the one or the other"
        )
    keys = sorted(
        {value for values in flat.values() for value in values},
        key=str.encode if is_text == {True} else None,
    )
    if names is not None:
        keys = list(names) if is_text == {True} else list(range(len(names)))
    classes = [str(key) for key in keys] if names is None else list(names)
    _check_classes(classes)
    numbers = {key: number for number, key in enumerate(keys)}
    for name, values in flat.items():
        if wrong := next(
            ((place, value) for place, value in enumerate(values) if value not in numbers), None
        ):
            raise DataError(
                f"the array '{name}' holds {wrong[1]!r} at {wrong[0]}, which is none of the"
                f" {len(classes)} classes"
            )
    return classes, [[numbers[value] for value in values] for values in flat.values()]


def _check_classes(classes: list[str]) -> None:
    if len(set(classes)) < max(2, len(classes)):
        raise DataError(
            f"the classes are {classes[:20]}; a classifier needs at least two, with different names"
        )
    if odd := [
        name for name in classes if not name.isprintable() or name != name.strip() or not name
    ]:
        raise DataError(
            f"class names must be printable text without space at its ends, received {odd[0]!r}"
        )


def _parse_flat_labels(array: "numpy.ndarray", name: str) -> list[int] | list[str]:
    if array.dtype.kind in "US":
        return parse_texts(array, name)
    values = _read_column(array, name, "iu", "integers or text")
    if (
        negative := next((place for place, value in enumerate(values) if value < 0), None)
    ) is not None:
        raise DataError(
            f"the array '{name}' holds {values[negative]} at {negative}; labels are at least 0"
        )
    return values


def parse_texts(array: "numpy.ndarray", name: str) -> list[str]:
    """Return an array of text or integers as text: bytes are UTF-8.

    Raises:
        DataError: they are not; or its shape or type is another.
    """
    try:
        return [
            value.decode() if isinstance(value, bytes) else str(value)
            for value in _read_column(array, name, "iuUS", "text or integers")
        ]
    except UnicodeDecodeError as error:
        raise DataError(
            f"the array '{name}' holds text that is not UTF-8: {error.object!r}"
        ) from None


def parse_splits(array: "numpy.ndarray", name: str) -> list[str]:
    """Return the split of each image.

    Raises:
        DataError: one is unknown.
    """
    values = parse_texts(array, name)
    if wrong := next(
        ((place, value) for place, value in enumerate(values) if value not in SPLITS), None
    ):
        raise DataError(
            f"the array '{name}' holds {wrong[1]!r} at {wrong[0]}; splits are {', '.join(SPLITS)}"
        )
    return values


def parse_weights(array: "numpy.ndarray", name: str) -> list[float]:
    """Return the weight of each image.

    Raises:
        DataError: one is negative, or not finite.
    """
    values = [float(value) for value in _read_column(array, name, "buif", "numbers")]
    if wrong := next(
        ((place, value) for place, value in enumerate(values) if not 0 <= value <= MAX_WEIGHT), None
    ):
        raise DataError(
            f"the array '{name}' holds {wrong[1]} at {wrong[0]}; weights are finite numbers of at"
            " least 0"
        )
    return values


def _read_column(array: "numpy.ndarray", name: str, kinds: str, meaning: str) -> list:
    """Return an array of one value an image, (n,) or (n, 1), of one of numpy's kinds, as a list."""
    if array.ndim not in (1, 2) or array.shape[1:] not in ((), (1,)):
        raise DataError(
            f"the array '{name}' has the shape {array.shape}; it must hold one value an image: (n,)"
            " or (n, 1)"
        )
    if array.dtype.kind not in kinds:
        raise DataError(f"the array '{name}' holds {array.dtype}; right are {meaning}")
    return array.reshape(-1).tolist()
