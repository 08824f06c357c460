"""NumPy arrays by name, from an .npz archive or a folder of .npy files. Light zone.

A member of an .npz archive is loaded into memory whole; of an .npy file, one image is read at a
time, so it may be larger than memory. Nothing is ever unpickled, since unpickling runs whatever
code the file holds.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls.datasets import MAX_WEIGHT, SPLITS, _concatenated, _image_files, _rows
from imgcls.errors import DataError
from imgcls.io import terminal

if TYPE_CHECKING:
    import numpy


class ArrayFiles:
    """The arrays in an .npz archive or in a folder.

    Raises:
        DataError: the path is neither, or cannot be read; from `load`, also if the array is missing
            or damaged.
    """

    def __init__(self, path: Path):
        self._path = path
        self._names = _list_array_names(path)
        self.load = functools.cache(self._load)

    @property
    def version(self) -> str:
        """A text that changes whenever a file may have changed."""
        return _image_files.compute_version([self._get_file(name) for name in self._names])

    def _get_file(self, name: str) -> Path:
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
                return _rows.load_or_map(self._get_file(name))
            with self._path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as archive:
                return archive[name]
        except Exception as error:  # damaged files raise errors of a dozen types
            raise DataError(
                f"{self._path}: the array '{name}' cannot be read:"
                f" {str(error) or type(error).__name__}"
            ) from None


def _list_array_names(path: Path) -> list[str]:
    """Return the names of the arrays in an .npz archive or in a folder."""
    import numpy

    if path.is_dir():
        return sorted(file.stem for file in path.glob("*.npy"))
    if path.suffix != ".npz":
        raise DataError(
            f"data.path: {path} is neither a folder of .npy files nor an .npz archive; give the"
            " path of one"
        )
    try:
        with path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as archive:
            return sorted(archive.files)
    except OSError as error:
        raise DataError(f"data.path: cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        raise DataError(
            f"data.path: {path} is not an .npz archive, or damaged:"
            f" {str(error) or type(error).__name__}"
        ) from None


def check_images(images: "numpy.ndarray", name: str, scaled: bool) -> "numpy.ndarray":
    """Return images as (n, height, width, channels); grayscale images may lack the last axis.

    Raises:
        DataError: the shape or dtype is not that of images.
    """
    shape = images.shape
    if images.ndim not in (3, 4) or 0 in shape[1:]:
        raise DataError(
            f"the array '{name}' has the shape {shape}; images are (n, height, width) or (n,"
            " height, width, channels)"
        )
    if images.dtype.kind not in "buif":
        raise DataError(
            f"the array '{name}' holds {images.dtype}; images are uint8, or other real numbers with"
            " data.range"
        )
    if images.dtype != "uint8" and not scaled:
        raise DataError(
            f"the array '{name}' holds {images.dtype}; set data.range to the values of black and"
            " white, such as [0, 1] or [0, 65535]"
        )
    return images.reshape(*shape, 1) if images.ndim == 3 else images


def require_one_shape(images: "Mapping[str, numpy.ndarray]") -> tuple[int, int, int]:
    """Return the height, width and channels that the images of all arrays have.

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
    """Return a function that reads the image at an index into all arrays, as uint8.

    Args:
        bounds: the values that become 0 and 255; None for images that are uint8 already.
    """
    names, arrays = list(images), list(images.values())
    readers = list(map(_rows.make_row_reader, arrays))

    def read(number: int, index: int) -> "numpy.ndarray":
        image = readers[number](index)
        if bounds is None:
            return image
        return _scale_to_bytes(image, bounds[0], bounds[1], f"{names[number]}[{index}]")

    return _concatenated.make_reader(arrays, read)


def _scale_to_bytes(image: "numpy.ndarray", low: float, high: float, name: str) -> "numpy.ndarray":
    """Map `low` to 0 and `high` to 255, to the nearest; NaN and values outside are errors."""
    import numpy

    values = image.astype(numpy.float64)
    wrong = ~((values >= low) & (values <= high))  # NaN is wrong, too
    if wrong.any():
        first = tuple(numpy.argwhere(wrong)[0].tolist())
        raise DataError(
            f"{name}: the value at {first} is {image[first]}; {wrong.sum():,} of its values are"
            f" outside data.range, {low:g} to {high:g}: correct the array or data.range"
        )
    return numpy.rint((values - low) / (high - low) * 255).astype(numpy.uint8)


def parse_labels(
    arrays: Mapping[str, "numpy.ndarray"], names: Sequence[str] | None
) -> tuple[list[str], list[list[int]]]:
    """Return class names, and the class numbers of each array of labels.

    Args:
        arrays: integers or text, (n,) or (n, 1), by the arrays' names.
        names: the class names, into which integer labels are indices; None for the labels that
            occur, sorted.

    Raises:
        DataError: the labels have another shape or dtype, or are not among the class names; or
            there are fewer than two classes.
    """
    flat = {name: _parse_flat_labels(array, name) for name, array in arrays.items()}
    is_text = {isinstance(value, str) for values in flat.values() for value in values[:1]}
    if len(is_text) == 2:
        raise DataError(
            f"the arrays {', '.join(arrays)} mix text and numbers; make all labels text, or all"
            " integers"
        )
    keys = sorted(
        {value for values in flat.values() for value in values},
        key=lambda label: label.encode() if isinstance(label, str) else label,
    )
    if names is not None:
        keys = list(names) if is_text == {True} else list(range(len(names)))
    classes = [str(key) for key in keys] if names is None else list(names)
    _check_classes(classes)
    numbers = {key: number for number, key in enumerate(keys)}
    for name, values in flat.items():
        if wrong := next(
            ((index, value) for index, value in enumerate(values) if value not in numbers), None
        ):
            raise DataError(
                f"the array '{name}' holds {wrong[1]!r} at index {wrong[0]}, which is not one of"
                f" the {len(classes)} classes"
            )
    return classes, [[numbers[value] for value in values] for values in flat.values()]


def _check_classes(classes: list[str]) -> None:
    if len(set(classes)) < max(2, len(classes)):
        raise DataError(
            f"the classes are {terminal.format_some(list(map(repr, classes)), 20)}; a classifier"
            " needs at least two, with different names"
        )
    if wrong := [
        name for name in classes if not name.isprintable() or name != name.strip() or not name
    ]:
        raise DataError(
            f"class names must be printable text without spaces at the ends; got {wrong[0]!r}"
        )


def _parse_flat_labels(array: "numpy.ndarray", name: str) -> list[int] | list[str]:
    if array.dtype.kind in "US":
        return parse_texts(array, name)
    values = _read_column(array, name, "iu", "integers or text")
    if (
        negative := next((index for index, value in enumerate(values) if value < 0), None)
    ) is not None:
        raise DataError(
            f"the array '{name}' holds {values[negative]} at index {negative}; labels are at"
            " least 0"
        )
    return values


def parse_texts(array: "numpy.ndarray", name: str) -> list[str]:
    """Return an array of text or integers as text; bytes are decoded as UTF-8.

    Raises:
        DataError: bytes are not UTF-8, or the array has another shape or dtype.
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
        ((index, value) for index, value in enumerate(values) if value not in SPLITS), None
    ):
        raise DataError(
            f"the array '{name}' holds {wrong[1]!r} at index {wrong[0]}; splits are"
            f" {', '.join(SPLITS)}"
        )
    return values


def parse_weights(array: "numpy.ndarray", name: str) -> list[float]:
    """Return the weight of each image.

    Raises:
        DataError: one is negative, or not finite.
    """
    values = [float(value) for value in _read_column(array, name, "buif", "numbers")]
    if wrong := next(
        ((index, value) for index, value in enumerate(values) if not 0 <= value <= MAX_WEIGHT), None
    ):
        raise DataError(
            f"the array '{name}' holds {wrong[1]} at index {wrong[0]}; weights are finite numbers"
            " of at least 0"
        )
    return values


def _read_column(array: "numpy.ndarray", name: str, kinds: str, meaning: str) -> list[Any]:
    """Return the values of an array with one per image, (n,) or (n, 1), of one of NumPy's kinds."""
    if array.ndim not in (1, 2) or array.shape[1:] not in ((), (1,)):
        raise DataError(
            f"the array '{name}' has the shape {array.shape}; it must hold one value per image:"
            " (n,) or (n, 1)"
        )
    if array.dtype.kind not in kinds:
        raise DataError(f"the array '{name}' holds {array.dtype}; it must hold {meaning}")
    return array.reshape(-1).tolist()
