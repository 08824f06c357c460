"""Models of the .npz files that imgcls writes and reads. Light zone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from imgcls.io import files
from imgcls.io.data_file import DataFile
from imgcls.io.records import Record, validate

if TYPE_CHECKING:
    import numpy

    NDArray = numpy.ndarray
else:
    NDArray = Any
"""The type of a field with an array, for use with an `Array`."""

ArraysType = TypeVar("ArraysType", bound="ArrayRecord")


class Array:
    """The dtype and axes of an array in an `ArrayRecord`.

    For example `Annotated[NDArray, Array("float32", "images", "classes")]`.

    Args:
        dtype: name of a numpy dtype; `U` for text or `S` for bytes of any length; or the fields of
            a structured dtype.
        axes: the name or the size of each; axes of the same name must have the same size in all
            arrays of a record.
    """

    def __init__(self, dtype: str | list[Any], *axes: str | int):
        self.dtype = dtype
        self.axes = axes

    def __str__(self) -> str:
        name = {"U": "text", "S": "bytes"}.get(str(self.dtype), self.dtype)
        axes = f" ({', '.join(map(str, self.axes))})" if self.axes else ""
        return f"{'rows' if isinstance(name, list) else name}{axes}"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def _check(self, value: Any) -> Any:
        import numpy

        if not isinstance(value, numpy.ndarray):
            raise ValueError(f"should be {self}, got {type(value).__name__}")
        dtype_matches = (
            value.dtype.kind == self.dtype
            if self.dtype in ("U", "S")
            else value.dtype == numpy.dtype(self.dtype)
        )
        shape_matches = value.ndim == len(self.axes) and all(
            isinstance(axis, str) or axis == size
            for axis, size in zip(self.axes, value.shape, strict=True)
        )
        if not dtype_matches or not shape_matches:
            raise ValueError(f"should be {self}, got {value.dtype} {value.shape}")
        return value


class ArrayRecord(Record):
    """The arrays of an .npz file, each annotated with an `Array`; optional ones may be missing."""

    @model_validator(mode="after")
    def _check_equal_axes(self) -> Self:
        sizes: dict[str, tuple[int, str]] = {}
        for name, field in type(self).model_fields.items():
            array, value = find_array(field.metadata, field.annotation), getattr(self, name)
            for axis, size in zip(array.axes, () if value is None else value.shape, strict=False):
                expected, other = sizes.setdefault(str(axis), (size, name))
                if size != expected:
                    raise ValueError(f"{name} has {size:,} {axis}, but {other} has {expected:,}")
        return self


def find_array(metadata: list[Any], annotation: Any) -> Array:
    """Return the `Array` in a field's metadata, or in the annotation of an optional field."""
    inner = [item for each in get_args(annotation) for item in getattr(each, "__metadata__", ())]
    return next(item for item in [*metadata, *inner] if isinstance(item, Array))


def write_arrays(path: Path, record: ArrayRecord) -> None:
    """Write an .npz file atomically.

    Raises:
        UserError: the file cannot be written.
    """
    import numpy

    arrays = {name: getattr(record, name) for name in type(record).model_fields}
    with files.replace_file(path) as stream:
        numpy.savez(stream, **{name: array for name, array in arrays.items() if array is not None})


def read_arrays(path: Path, model: type[ArraysType], advice: str) -> ArraysType:
    """Read an .npz file without unpickling anything.

    Args:
        advice: what to do if the file is damaged, as the end of the message.

    Raises:
        DataError: the file cannot be read, or is damaged.
    """
    import numpy

    file = DataFile(path, advice)
    with file.explain_errors(), path.open("rb") as stream:
        archive = numpy.load(stream, allow_pickle=False)
        if not isinstance(archive, numpy.lib.npyio.NpzFile):
            raise ValueError("not an .npz archive")
        with archive:
            arrays = {name: archive[name] for name in archive.files}
    return validate(arrays, model, file)


def read_array(path: Path, advice: str) -> NDArray:
    """Read an .npy file; arguments and errors as for `read_arrays`."""
    import numpy

    with DataFile(path, advice).explain_errors():
        return numpy.load(path, allow_pickle=False)
