"""Writes PyTorch files without PyTorch: what `torch.save` makes of a state dict, and attacks."""

import contextlib
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "<f4": "FloatStorage",
    "<i8": "LongStorage",
    "<f2": "HalfStorage",
    "<f8": "DoubleStorage",
    "<u2": "BFloat16Storage",  # numpy has no such numbers; these are their bits
}


class Tensor:
    """A tensor as it is pickled: a view of a storage, an array of one dimension."""

    def __init__(self, storage, offset=0, size=None, stride=None, key=None, length=None):
        self.storage = numpy.ascontiguousarray(storage).ravel()
        array = numpy.asarray(storage)
        self.offset = offset
        self.size = array.shape if size is None else size
        self.stride = (
            tuple(s // array.itemsize for s in array.strides) if stride is None else stride
        )
        self.key = key
        self.length = self.storage.size if length is None else length

    def __reduce__(self):
        arguments = (_Storage(self), self.offset, self.size, self.stride, False, {})
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


class _Storage:
    def __init__(self, tensor):
        self.tensor = tensor


class _Pickler(pickle.Pickler):
    def __init__(self, stream, is_legacy):
        super().__init__(stream, protocol=2)
        self.storages = {}
        self._is_legacy = is_legacy

    def persistent_id(self, value):
        if not isinstance(value, _Storage):
            return None
        tensor = value.tensor
        key = tensor.key or str(len(self.storages))
        self.storages[key] = tensor
        kind = STORAGES[tensor.storage.dtype.str]
        storage_type = getattr(sys.modules["torch"], kind)
        reference = ("storage", storage_type, key, "cpu", tensor.length)
        return (*reference, None) if self._is_legacy else reference


@contextlib.contextmanager
def _pretend_torch():
    """Let pickle find the names of PyTorch that it writes."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*arguments):
        raise NotImplementedError

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    rebuild.__name__ = "_rebuild_tensor_v2"
    torch._utils, utils._rebuild_tensor_v2 = utils, rebuild
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _dump(value, is_legacy):
    stream = io.BytesIO()
    with _pretend_torch():
        pickler = _Pickler(stream, is_legacy)
        pickler.dump(value)
    return stream.getvalue(), pickler.storages


def write_legacy(path, state):
    """Write a state dict in the format before PyTorch 1.6."""
    body, storages = _dump(state, True)
    system = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(each, 2) for each in (MAGIC, PROTOCOL, system)]
    parts += [body, pickle.dumps(sorted(storages), 2)]
    for key in sorted(storages):
        parts += [struct.pack("<q", storages[key].length), storages[key].storage.tobytes()]
    path.write_bytes(b"".join(parts))


def write_zip(path, state, compression=zipfile.ZIP_STORED, byteorder=b"little"):
    """Write a state dict in the format of PyTorch 1.6 on."""
    body, storages = _dump(state, False)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/byteorder", byteorder)
        for key, tensor in storages.items():
            archive.writestr(f"archive/data/{key}", tensor.storage.tobytes())


FORMATS = {"legacy": write_legacy, "zip": write_zip}
