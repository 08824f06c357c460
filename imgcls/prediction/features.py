"""Writing the features of images as they come. Light zone."""

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from imgcls.io import files
from imgcls.prediction.inputs import divide_stream
from imgcls.prediction.parquet import ParquetFeatures

if TYPE_CHECKING:
    import numpy

_BLOCK = 4096  # paths that are converted at a time


class FeatureWriter(Protocol):
    """Writes features."""

    def write(self, paths: Sequence[str], features: "numpy.ndarray") -> None:
        """Write the features of images, float32 (images, n)."""

    def finish(self) -> None:
        """Write the rest of the file, after the last features."""


class NpzFeatures:
    """Writes features to an .npz file: `features`, float32 (images, n), and `paths`, str (images,).

    An array in the archive begins with its length, so the arrays are temporary files until the end.

    Args:
        values, paths: temporary files.
    """

    def __init__(self, stream: IO[bytes], values: IO[bytes], paths: IO[bytes]):
        self._stream, self._values, self._paths = stream, values, paths
        self._shape = (0, 0)
        self._longest = 1

    def write(self, paths: Sequence[str], features: "numpy.ndarray") -> None:
        """Write the features of images, float32 (images, n)."""
        self._values.write(features.tobytes())
        self._paths.writelines(os.fsencode(path) + b"\0" for path in paths)
        self._shape = (self._shape[0] + len(paths), features.shape[1])
        self._longest = max([self._longest, *map(len, paths)])

    def finish(self) -> None:
        """Write the archive."""
        import numpy

        with zipfile.ZipFile(self._stream, "w") as archive:
            with archive.open("features.npy", "w", force_zip64=True) as member:
                _write_header(member, "<f4", self._shape)
                self._values.seek(0)
                shutil.copyfileobj(self._values, member)
            kind = f"<U{self._longest}"
            with archive.open("paths.npy", "w", force_zip64=True) as member:
                _write_header(member, kind, self._shape[:1])
                for names in self._read_paths():
                    member.write(numpy.array(names, kind).tobytes())

    def _read_paths(self) -> Iterator[list[str]]:
        self._paths.seek(0)
        names: list[str] = []
        for name in divide_stream(self._paths, b"\0"):
            names.append(os.fsdecode(name))
            if len(names) == _BLOCK:
                yield names
                names = []
        yield names


def _write_header(member: IO[bytes], kind: str, shape: tuple[int, ...]) -> None:
    import numpy

    header = {"descr": kind, "fortran_order": False, "shape": shape}
    numpy.lib.format.write_array_header_1_0(member, header)


@contextlib.contextmanager
def open_features(path: Path | None) -> Iterator[FeatureWriter | None]:
    """Yield what writes the features to a file, which appears at the end of the block; None without
    a file.

    Raises:
        UserError: the file cannot be written, or needs pyarrow, which is not installed.
    """
    if path is None:
        yield None
        return
    with files.replace_file(path) as stream:
        if path.suffix.lower() == ".parquet":
            writer: FeatureWriter = ParquetFeatures(stream)
            yield writer
            writer.finish()
            return
        folder = path.parent
        with (
            tempfile.TemporaryFile(dir=folder) as values,
            tempfile.TemporaryFile(dir=folder) as paths,
        ):
            npz = NpzFeatures(stream, values, paths)
            yield npz
            npz.finish()
