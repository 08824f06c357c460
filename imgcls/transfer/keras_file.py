"""Reads the weights in files of Keras without building a model: no code of a file is run. Light
zone.

Keras has three formats: .weights.h5 (Keras 3), .keras, which is a zip archive with one of these and
the configuration of the model, and the legacy .h5, with or without a configuration. Keras's own
`load_weights` takes layers by their order and skips what does not match.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls.errors import DataError, UserError
from imgcls.io.data_file import DataFile
from imgcls.transfer.weights import (
    ZIP_START,
    DamageError,
    Leftover,
    RefusedError,
    Tensor,
    Weights,
)

if TYPE_CHECKING:
    import h5py

_HDF5_START = b"\x89HDF\r\n\x1a\n"
_PICKLE_START = b"\x80"
"""The first byte of a pickle since protocol 2, of Python 2.3."""
_ADVICE = "write or fetch it again, or give another file in model.weights"
_MAX_COMPRESSION_RATIO = 1000
"""The most that compression of a tensor can reach; beyond, the file claims more than it has."""


def read_keras_file(path: Path) -> Weights:
    """Return the weights in a file, by the names of the layers.

    Raises:
        DataError: the file cannot be read, is damaged, not one of Keras's, or would run code.
        UserError: an older version of Keras wrote it, without the names of its layers.
    """
    import hashlib

    file = DataFile(path, _ADVICE)
    content = file.read_bytes()
    configs: list[dict[str, Any]] = []
    weights = content
    with file.explain_damage():
        try:
            if content.startswith(ZIP_START):
                weights, configs = _read_archive(content)
            elif content.startswith(_PICKLE_START):
                raise RefusedError(
                    "it is a pickle, as Python and older PyTorch write; reading one can run code"
                )
            elif not content.startswith(_HDF5_START):
                raise DamageError("it is neither an HDF5 file nor a zip archive, as Keras writes")
            layers, leftovers, own_configs = _read_hdf5(weights, path)
        except RefusedError as error:
            raise DataError(
                f"{path} is refused: {error}; give a file of Keras that has only weights"
                " (.weights.h5)"
            ) from None
    return Weights(
        source=str(path),
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        layers=layers,
        leftovers=leftovers,
        layer_configs=configs or own_configs or None,
    )


def _read_archive(content: bytes) -> tuple[bytes, list[dict[str, Any]]]:
    """Return the HDF5 file and the layers' configurations in a .keras file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(name.endswith("/data.pkl") for name in archive.namelist()):
            raise RefusedError("it is a file of PyTorch, with a pickle, which can run code")
        for name in ("config.json", "model.weights.h5"):
            if name not in archive.namelist():
                raise DamageError(f"it is a zip archive without {name}; Keras writes .keras files")
        for info in archive.infolist():
            if info.file_size > _MAX_COMPRESSION_RATIO * max(info.compress_size, 1):
                raise DamageError(f"its member {info.filename} claims {info.file_size:,} bytes")
        configs = read_configs(archive.read("config.json"))
        return archive.read("model.weights.h5"), configs


def read_configs(text: bytes | str) -> list[dict[str, Any]]:
    """Return the configurations of the layers in that of a model, nested ones in their place.

    Raises:
        RefusedError: one of them has code.
    """
    return list(_iterate_configs(json.loads(text)))


def _iterate_configs(config: Any) -> Iterator[dict[str, Any]]:
    """Yield the configurations of layers that are not models."""
    _refuse_code(config)
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(layers, list):
        yield config
        return
    for layer in layers:
        yield from _iterate_configs(layer)


def _refuse_code(config: Any) -> None:
    """Refuse a layer with a function: Keras would run it where the model is loaded."""
    name = str(config.get("class_name"))
    inner = config.get("config")
    own = {} if not isinstance(inner, dict) else inner
    text = json.dumps({key: value for key, value in own.items() if key != "layers"})
    if name == "Lambda" or '"__lambda__"' in text or '"class_name": "Lambda"' in text:
        layer = own.get("name", name)
        raise RefusedError(f"its layer {layer!r} ({name}) has Python code")


def _read_hdf5(
    content: bytes, path: Path
) -> tuple[dict[str, list[Tensor]], list[Leftover], list[dict[str, Any]]]:
    """Return the tensors of layers, other tensors, and the layers' configurations, if any."""
    import h5py

    configs: list[dict[str, Any]] = []
    with h5py.File(io.BytesIO(content)) as file:
        tensors = dict(_iterate_tensors(file))
        prefix = "model_weights/" if "model_weights" in file else ""
        legacy = _open_group(file, "model_weights") if prefix else file
        if _read_names(legacy, "layer_names"):
            if "model_config" in file.attrs:
                configs = read_configs(file.attrs["model_config"])
            layers = _group_legacy(legacy, prefix, tensors)
        else:
            layers = _group(file, tensors, path)
    if not layers:
        raise DamageError("it has no weights of layers")
    used = {tensor.name for group in layers.values() for tensor in group}
    rest = [Tensor(*item) for item in tensors.items() if item[0] not in used]
    return layers, [Leftover(each, "not a weight of a layer") for each in rest], configs


def _iterate_tensors(file: "h5py.File") -> Iterator[tuple[str, Any]]:
    """Yield each array with its path; links to other places are not followed."""
    import h5py

    found: list[tuple[str, h5py.Dataset]] = []
    file.visititems(
        lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None
    )
    for name, dataset in found:
        if dataset.external or dataset.is_virtual:
            raise RefusedError(f"its tensor {name} is in another file")
        is_bfloat16 = dataset.attrs.get("dtype") == "bfloat16"
        if dataset.dtype.kind not in "fiub" and not is_bfloat16:
            continue  # text, such as the vocabulary of a layer
        if dataset.nbytes > _MAX_COMPRESSION_RATIO * max(dataset.id.get_storage_size(), 1):
            raise DamageError(f"its tensor {name} claims {dataset.nbytes:,} bytes")
        array = dataset[()]
        yield name, _widen_bfloat16(array) if is_bfloat16 else array


def _widen_bfloat16(bits: Any) -> Any:
    """Return float32 of bfloat16, which Keras stores as two bytes of an opaque type."""
    import numpy

    return (bits.view(numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)


def _group(file: "h5py.File", tensors: dict[str, Any], path: Path) -> dict[str, list[Tensor]]:
    """Group the tensors of a .weights.h5 file by the names of their layers.

    They are `layers/<class>_<number>/vars/<position>`, and `vars` has the name as an attribute.
    """
    groups: dict[str, list[str]] = {}
    for name in tensors:
        match = re.fullmatch(r"((?:.*/)?layers/.*vars)/\d+", name)
        if match:
            groups.setdefault(match[1], []).append(name)
    layers: dict[str, list[Tensor]] = {}
    for group, names in groups.items():
        layer = file[group].attrs.get("name")
        if not isinstance(layer, str):
            raise UserError(
                f"{path} does not name its layers, as older versions of Keras wrote it; load its"
                " model in Keras 3.15, and save it again"
            )
        names.sort(key=lambda name: int(name.rpartition("/")[2]))
        _add(layers, layer, [Tensor(name, tensors[name]) for name in names])
    return layers


def _group_legacy(
    group: "h5py.Group", prefix: str, tensors: dict[str, Any]
) -> dict[str, list[Tensor]]:
    """Group the tensors of a legacy file by the names of their layers.

    All weights of a nested model are in one group; there, the tensors' names have the layers'.
    """
    layers: dict[str, list[Tensor]] = {}
    for outer in _read_names(group, "layer_names"):
        listed = _read_names(_open_group(group, outer), "weight_names")
        names = [f"{prefix}{outer}/{each}" for each in listed]
        for name in names:
            if name not in tensors:
                raise DamageError(f"it lacks the tensor {name}, which it lists")
        inner = {name.rpartition("/")[0] for name in names}
        for name in names:
            layer = name.split("/")[-2] if len(inner) > 1 else outer
            layers.setdefault(layer, []).append(Tensor(name, tensors[name]))
    return layers


def _open_group(group: "h5py.Group", path: str) -> "h5py.Group":
    """Return a group inside another one, without following links to other files."""
    import h5py

    for name in path.split("/"):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise RefusedError(f"its group {path} is missing, or in another place")
        group = group[name]
    return group


def _read_names(group: "h5py.Group", key: str) -> list[str]:
    """Return a list of names, which Keras divides over several attributes if it is long."""
    keys = [key] if key in group.attrs else []
    while not keys or keys[-1] != key:
        following = f"{key}{len(keys)}"
        if following not in group.attrs:
            break
        keys.append(following)
    names = [name for each in keys for name in group.attrs[each]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _add(layers: dict[str, list[Tensor]], name: str, tensors: list[Tensor]) -> None:
    if name in layers:
        raise DamageError(f"it has two layers of the name {name!r}")
    layers[name] = tensors
