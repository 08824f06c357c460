"""Writing rows and features to Parquet, with the extra `parquet`. Light zone."""

from collections.abc import Sequence
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from imgcls.errors import UserError
from imgcls.prediction.rows import PredictionRow, RowMaker, flatten, list_columns

if TYPE_CHECKING:
    import numpy

_GROUP = 8192
"""Rows of a row group."""


def import_pyarrow() -> ModuleType:
    """Return the module pyarrow, with its submodule for Parquet.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            f"Parquet needs pyarrow ({error}); run: pip install 'imgcls[parquet]', or choose"
            " another format"
        ) from None
    return pyarrow


class ParquetWriter:
    """Writes rows of predictions to Parquet, with the columns of CSV.

    Numbers are float32. Bytes of a path that are not UTF-8 are escaped (`\\udcff`).
    """

    def __init__(self, stream: IO[bytes], maker: RowMaker):
        pyarrow = import_pyarrow()
        types = {
            "string": pyarrow.string(),
            "number": pyarrow.float32(),
            "boolean": pyarrow.bool_(),
            "strings": pyarrow.list_(pyarrow.string()),
        }
        self._columns = list_columns(maker)
        self._schema = pyarrow.schema([(name, types[kind]) for name, kind in self._columns.items()])
        self._table = pyarrow.Table
        self._writer = pyarrow.parquet.ParquetWriter(stream, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, rows: Sequence[PredictionRow]) -> None:
        """Write rows, once they fill a row group."""
        for row in rows:
            self._rows.append(flatten(row, self._columns) | {"path": escape(row.path)})
        if len(self._rows) >= _GROUP:
            self._write_group()

    def _write_group(self) -> None:
        self._writer.write_table(self._table.from_pylist(self._rows, self._schema))
        self._rows = []

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the last row group, and the end of the file."""
        self._write_group()
        self._writer.close()


class ParquetFeatures:
    """Writes features to Parquet: `path` and `features`, a list of float of a fixed size."""

    def __init__(self, stream: IO[bytes]):
        self._pyarrow = import_pyarrow()
        self._stream = stream
        self._writer: Any = None

    def write(self, paths: Sequence[str], features: "numpy.ndarray") -> None:
        """Write the features of images, float32 (images, n)."""
        pyarrow, width = self._pyarrow, features.shape[1]
        kind = pyarrow.list_(pyarrow.float32(), width)
        schema = pyarrow.schema([("path", pyarrow.string()), ("features", kind)])
        values = pyarrow.FixedSizeListArray.from_arrays(features.reshape(-1), width)
        names = pyarrow.array(list(map(escape, paths)), pyarrow.string())
        self._writer = self._writer or pyarrow.parquet.ParquetWriter(self._stream, schema)
        self._writer.write_table(pyarrow.Table.from_arrays([names, values], schema=schema))

    def finish(self) -> None:
        """Write the end of the file."""
        if self._writer:
            self._writer.close()


def escape(path: str) -> str:
    """Return a path as text that is UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode()
