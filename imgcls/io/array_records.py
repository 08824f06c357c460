"""Arrays that imgcls writes to .npz files for itself: models through which they are written and
read. Light zone.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from imgcls.errors import DataError
from imgcls.io import files
from imgcls.io.records import DataFile, Record, validate

if TYPE_CHECKING:
    import numpy

    NDArray = numpy.ndarray
else:
    NDArray = Any
"""What a field that holds an array is annotated with, beside its `Array`."""

ArraysType = TypeVar("ArraysType", bound="ArrayRecord")


class Array:
    """The dtype and the axes of an array in an `ArrayRecord`, as in
    `Annotated[NDArray, Array("float32", "images", "classes")]`.

    Args:
        dtype: as numpy names it, `U` for text or `S` for bytes of any length, or the fields of a
            structured dtype.
        axes: their names, or sizes; axes of one name have one size in a record.
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
        of_type = (
            value.dtype.kind == self.dtype
            if self.dtype in ("U", "S")
            else value.dtype == numpy.dtype(self.dtype)
        )
        of_size = value.ndim == len(self.axes) and all(
            isinstance(axis, str) or axis == size
            for axis, size in zip(self.axes, value.shape, strict=True)
        )
        if not of_type or not of_size:
            raise ValueError(f"should be {self}, got {value.dtype} {value.shape}")
        return value


class ArrayRecord(Record):
    """The arrays of an .npz file, each annotated with an `Array`; one that may be None may be
    missing.
    """

    @model_validator(mode="after")
    def _require_equal_axes(self) -> Self:
        sizes: dict[str, tuple[int, str]] = {}
        for name, field in type(self).model_fields.items():
            array, value = find_array(field.metadata, field.annotation), getattr(self, name)
            for axis, size in zip(array.axes, () if value is None else value.shape, strict=False):
                expected, other = sizes.setdefault(str(axis), (size, name))
                if size != expected:
                    raise ValueError(f"{name} has {size:,} {axis}, but {other} has {expected:,}")
        return self


def find_array(metadata: list[Any], annotation: Any) -> Array:
    """Return the `Array` of a field, also where the field may be None."""
    inner = [item for each in get_args(annotation) for item in getattr(each, "__metadata__", ())]
    return next(item for item in [*metadata, *inner] if isinstance(item, Array))


def write_arrays(path: Path, record: ArrayRecord) -> None:
    """Replace an .npz file as a whole.

    Raises:
        UserError: the file cannot be written.
    """
    import numpy

    arrays = {name: getattr(record, name) for name in type(record).model_fields}
    with files.replace_file(path) as stream:
        numpy.savez(stream, **{name: array for name, array in arrays.items() if array is not None})


def read_arrays(path: Path, model: type[ArraysType], advice: str) -> ArraysType:
    """Read an .npz file; nothing in it is unpickled.

    Args:
        advice: what to do where the file does not hold what it should, as the end of a sentence.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    file = DataFile(path, advice)
    try:
        file.require_regular()
        arrays = _load(path)
    except (DataError, MemoryError):
        raise
    except OSError as error:
        raise (file.unreadable(error) if error.errno else file.damaged(str(error))) from None
    except Exception as error:  # a flipped bit makes zipfile and numpy raise nearly anything
        raise file.damaged(str(error) or type(error).__name__) from None
    return validate(arrays, model, file)


def _load(path: Path) -> dict[str, Any]:
    import numpy

    with path.open("rb") as stream:
        archive = numpy.load(stream, allow_pickle=False)
        if not isinstance(archive, numpy.lib.npyio.NpzFile):
            raise ValueError("not an .npz archive")
        with archive:
            return {name: archive[name] for name in archive.files}
