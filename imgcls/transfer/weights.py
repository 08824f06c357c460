"""Weights as they are read, before they are matched to a model. Light zone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ZIP_START = b"PK\x03\x04"
"""The first bytes of a zip archive, which PyTorch and Keras write."""


class RefusedError(Exception):
    """Reading a file, or loading it elsewhere, could run code or read other files."""


class DamageError(Exception):
    """A file is not as the library that it is of writes it."""


class Tensor(NamedTuple):
    """An array of a source, with its name there; a numpy array in Keras's layout."""

    name: str
    array: Any


class Leftover(NamedTuple):
    """A tensor of a source that belongs to no layer, with the reason."""

    tensor: Tensor
    reason: str


@dataclass(frozen=True)
class TrainedOn:
    """The images that weights were trained on.

    Attributes:
        shape: height, width and channels.
        resize: how photos were brought to that shape, for messages.
    """

    shape: tuple[int, int, int]
    resize: str


@dataclass(frozen=True)
class Weights:
    """The weights of a trained model.

    Attributes:
        source: what they were read from, for messages.
        path: of the file; None if Keras found it.
        sha256: of the file; without one, of the arrays.
        layers: the tensors of each layer by its name, in the order of the layer's `weights`.
        leftovers: tensors of no layer, such as an optimizer's.
        classes: names of the classes of the last dense layer; None if they are unknown.
        trained_on: None if it is unknown.
        layer_configs: Keras's configurations of the layers, from the input on; None if unknown.
        is_complete: whether all layers of the model that the weights are for must be among them.
    """

    source: str
    path: Path | None
    sha256: str
    layers: Mapping[str, list[Tensor]]
    leftovers: list[Leftover] = field(default_factory=list)
    classes: list[str] | None = None
    trained_on: TrainedOn | None = None
    layer_configs: list[dict[str, Any]] | None = None
    is_complete: bool = False
