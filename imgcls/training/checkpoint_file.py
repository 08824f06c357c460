"""The file of a checkpoint: variables and counters, with their SHA-256. Heavy zone."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from pydantic import ValidationError

from imgcls.backend import keras, tf
from imgcls.errors import DataError
from imgcls.io import files
from imgcls.io.data_file import DataFile
from imgcls.io.records import Record
from imgcls.training.counters import Counters

HEADER = "header"


class StateHeader(Record):
    """The header of a file of variables."""

    counters: Counters | None
    """The training state outside the variables; null in a file with weights only."""
    paths: list[str]
    """The variables' paths, in the order of the arrays."""
    sha256: str
    """The SHA-256 of the counters and all variables."""


class CorruptError(DataError):
    """A checkpoint is truncated or corrupt. Exit code 3."""

    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"{path} is damaged ({reason}); delete the folder {path.parent} to train this run from"
            " its start"
        )
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class Snapshot:
    """The values of variables at one moment, on the host."""

    paths: list[str]
    """The variables' paths."""
    arrays: list[numpy.ndarray]
    """Their values, in the same order."""


def _copy_to_host(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    with tf.device("CPU:0"):
        return [tf.identity(tensor) for tensor in tensors]


_compiled_copy = tf.function(_copy_to_host)


def take_snapshot(variables: list[keras.Variable]) -> Snapshot:
    """Copy variables to the host in one call, for which a GPU waits once and not for each."""
    tensors = _compiled_copy([tf.convert_to_tensor(each.value) for each in variables])
    tensors.reverse()
    # On a CPU, a tensor may share its memory with the variable. Each is freed once it is copied,
    # so that memory holds one snapshot.
    arrays = [tensors.pop().numpy() for _ in variables]
    return Snapshot([each.path for each in variables], arrays)


def write(path: Path, snapshot: Snapshot, counters: Counters | None) -> None:
    """Write a snapshot and counters atomically to an .npz file, with their SHA-256.

    Args:
        counters: None in a file with weights only.
    """
    arrays: dict[str, Any] = {f"{n:05d}": array for n, array in enumerate(snapshot.arrays)}
    header = StateHeader.model_validate(
        {
            "counters": None if counters is None else counters.model_dump(),
            "paths": snapshot.paths,
            "sha256": _compute_digest(arrays, counters),
        }
    )
    text = json.dumps(header.model_dump(), allow_nan=False)
    arrays[HEADER] = numpy.frombuffer(text.encode(), numpy.uint8)
    with files.replace_file(path) as stream:
        numpy.savez(stream, **arrays)


def load(path: Path, variables: list[keras.Variable]) -> Counters | None:
    """Load a file that `write` wrote into variables that are already built.

    Returns:
        The counters; None if the file holds weights only.

    Raises:
        CorruptError: the file is truncated or corrupt.
        DataError: it cannot be read, or belongs to a different model or optimizer.
    """
    header, arrays = read(path)
    expected = [(variable.path, tuple(variable.shape)) for variable in variables]
    saved = [(name, value.shape) for name, value in zip(header.paths, arrays.values(), strict=True)]
    if saved != expected:
        raise DataError(
            f"the variables in {path} do not match this model and optimizer; was imgcls changed?"
            " Start a new run"
        )
    for variable, value in zip(variables, arrays.values(), strict=True):
        variable.assign(value)
    return header.counters


def read(path: Path) -> tuple[StateHeader, dict[str, numpy.ndarray]]:
    """Return the header and the arrays of a file that `write` wrote; raises as `load` does."""
    # A file that cannot be read is an ordinary DataError: `restore` would delete a corrupt one.
    content = DataFile(path, "run the same command again").read_bytes()
    try:
        with numpy.load(io.BytesIO(content), allow_pickle=False) as archive:
            header = StateHeader.model_validate(json.loads(archive[HEADER].tobytes()))
            names = [f"{number:05d}" for number in range(len(header.paths))]
            arrays = {name: archive[name] for name in names}
        if header.sha256 != _compute_digest(arrays, header.counters):
            raise ValueError("its checksum does not match its content")
    except MemoryError:
        raise
    except ValidationError:
        raise CorruptError(path, "its header does not match this version's format") from None
    except Exception as error:  # after a flipped bit, zipfile and numpy raise nearly anything
        raise CorruptError(path, str(error) or type(error).__name__) from None
    return header, arrays


def _compute_digest(arrays: dict[str, numpy.ndarray], counters: Counters | None) -> str:
    values = None if counters is None else counters.model_dump()
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(numpy.ascontiguousarray(array).data)
    return digest.hexdigest()
