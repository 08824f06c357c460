"""Reads the tensors of a PyTorch file (.pth) without PyTorch, and without running code. Light zone.

`torch.save` writes a pickle, whose tensors refer to storages: arrays of one dimension, which are
members of a zip archive, or in the legacy format follow the pickle. A pickle can call any function
of Python. This reader knows the few names that tensors need, and refuses all others.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from imgcls.errors import DataError
from imgcls.io.data_file import DataFile
from imgcls.transfer.weights import ZIP_START, DamageError, RefusedError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The number at the start of a file in the legacy format (torch/serialization.py)."""
LEGACY_PROTOCOL = 1001
_DTYPES = {
    "BoolStorage": "?",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "ShortStorage": "<i2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
}
"""The numpy dtypes of storages, little-endian."""
_MAX_DIMENSIONS = 8


class _UnknownDtypeError(Exception):
    """A storage has numbers that numpy has no dtype for; the message is its name."""


class _Storage(NamedTuple):
    """A reference to an array of one dimension."""

    key: str
    dtype: str
    length: int


class _View(NamedTuple):
    """A tensor: a view of a storage, with strides in elements."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_torch_file(path: Path, advice: str) -> dict[str, Any]:
    """Return the numpy arrays of a state dict by their names, in its order.

    Args:
        advice: what to do if the file is damaged, as the end of the message.

    Raises:
        DataError: the file cannot be read, is damaged, or would run code.
    """
    file = DataFile(path, advice)
    content = file.read_bytes()
    read = _read_archive if content.startswith(ZIP_START) else _read_legacy
    with file.explain_damage():
        try:
            return read(content)
        except RefusedError as error:
            raise DataError(
                f"{path} is refused: it refers to {error}, so reading it could run code; a file of"
                " weights has only tensors"
            ) from None
        except _UnknownDtypeError as error:
            raise DataError(
                f"{path} has a {error}, a type of numbers that imgcls does not read; save its"
                " tensors as float32"
            ) from None


def _read_archive(content: bytes) -> dict[str, Any]:
    """Read the format of PyTorch 1.6 on: a zip archive of `<name>/data.pkl` and `<name>/data/*`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise DamageError(f"it has {len(pickles)} members data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist():
            order = _read_member(archive, f"{folder}byteorder")
            if order != b"little":
                raise DamageError(f"its byte order is {order!r}")
        state = _Unpickler(io.BytesIO(_read_member(archive, pickles[0]))).load()
        views = _list_views(state)
        storages = {
            each.storage: _read_member(archive, f"{folder}data/{each.storage.key}")
            for each in views.values()
        }
    return {name: _make_array(name, view, storages[view.storage]) for name, view in views.items()}


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member, which PyTorch does not compress: its size is at most that of the file."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise DamageError(f"its member {name} is compressed")
    return archive.read(name)


def _read_legacy(content: bytes) -> dict[str, Any]:
    """Read the older format: five pickles, then each storage with its length before it."""
    stream = io.BytesIO(content)
    magic, protocol = _Unpickler(stream).load(), _Unpickler(stream).load()
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL:
        raise DamageError("it does not start as PyTorch's files do")
    _Unpickler(stream).load()  # about the machine that wrote it
    unpickler = _Unpickler(stream)
    views = _list_views(unpickler.load())
    known = {storage.key: storage for storage in unpickler.storages}
    storages: dict[_Storage, bytes] = {}
    for key in _Unpickler(stream).load():
        storage = known[key]
        length = int.from_bytes(_read_exactly(stream, 8), "little", signed=True)
        if length != storage.length:
            raise DamageError(f"storage {key} has {length} elements, not {storage.length}")
        storages[storage] = _read_exactly(stream, length * _get_item_size(storage))
    return {name: _make_array(name, view, storages[view.storage]) for name, view in views.items()}


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise DamageError(f"it ends {size - len(data):,} bytes early")
    return data


class _Allowed:
    """A function that a pickle may call; it has no attributes that the pickle could set."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]):
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise RefusedError(f"the attribute {name} of a function")


class _Unpickler(pickle.Unpickler):
    """Unpickles containers, numbers and text; tensors become a `_View`.

    Attributes:
        storages: those that the pickle refers to.
    """

    def __init__(self, stream: IO[bytes]):
        super().__init__(stream)
        self.storages: list[_Storage] = []

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name in the pickle."""
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) in _FUNCTIONS:
            return _FUNCTIONS[module, name]
        if module == "torch" and name.endswith("Storage"):
            raise _UnknownDtypeError(name)
        raise RefusedError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        """Return a reference to a storage: `("storage", type, key, device, length[, view])`."""
        kind, storage_type, key, _, length, *view = pid
        if kind != "storage" or storage_type not in _DTYPES or any(view):
            raise DamageError(f"it has a reference {pid!r:.80}")
        if not isinstance(key, str) or not _is_count(length):
            raise DamageError(f"it has a reference {pid!r:.80}")
        storage = _Storage(key, _DTYPES[storage_type], length)
        self.storages.append(storage)
        return storage


def _make_view(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _View:
    """Stand for `torch._utils._rebuild_tensor_v2`; the rest is about gradients."""
    return _View(storage, offset, size, stride)


def _get_parameter(data: Any, *_: Any) -> Any:
    """Stand for `torch._utils._rebuild_parameter`."""
    return data


def _make_mapping(*pairs: Any) -> "OrderedDict[Any, Any]":
    return OrderedDict(*pairs)


_FUNCTIONS = {
    ("torch._utils", "_rebuild_tensor_v2"): _Allowed(_make_view),
    ("torch._utils", "_rebuild_parameter"): _Allowed(_get_parameter),
    ("collections", "OrderedDict"): _Allowed(_make_mapping),
}


def _list_views(state: Any) -> dict[str, _View]:
    """Return the tensors of a state dict by name, after checking each one's shape."""
    if not isinstance(state, dict):
        raise DamageError(f"it holds {type(state).__name__}, not a state dict")
    views: dict[str, _View] = {}
    for name, value in dict.items(state):
        if not isinstance(name, str) or not isinstance(value, _View):
            raise DamageError(f"its entry {name!r:.80} is not a tensor")
        for problem in _find_problems(value):
            raise DamageError(f"{name}: {problem}")
        views[name] = value
    return views


def _find_problems(view: _View) -> Iterator[str]:
    """Yield what is wrong with the shape of a tensor, so that it would exceed its storage."""
    storage, offset, size, stride = view
    if not isinstance(storage, _Storage) or not _is_count(offset):
        yield "it has no storage"
        return
    for numbers in (size, stride):
        if not isinstance(numbers, tuple) or not all(map(_is_count, numbers)):
            yield "its size or stride is not a tuple of counts"
            return
    if len(size) != len(stride) or len(size) > _MAX_DIMENSIONS:
        yield f"size {size} and stride {stride} do not match"
        return
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count > storage.length or (count and last >= storage.length):
        yield (
            f"size {size}, stride {stride} and offset {offset} exceed its {storage.length} elements"
        )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _get_item_size(storage: _Storage) -> int:
    import numpy

    return numpy.dtype(storage.dtype).itemsize


def _make_array(name: str, view: _View, data: bytes) -> Any:
    """Return a copy of a view, after checking its storage; numpy checks the bounds once more."""
    import numpy

    item = _get_item_size(view.storage)
    if len(data) != view.storage.length * item:
        raise DamageError(f"{name}: its storage has {len(data)} bytes")
    strides = tuple(step * item for step in view.stride)
    return numpy.ndarray(view.size, view.storage.dtype, data, view.offset * item, strides).copy()
