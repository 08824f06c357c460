"""Matches weights to the layers of a model, and says what became of each tensor. Light zone.

Layers match by their names, and the tensors of a layer by their order; shapes must be the same.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from imgcls.errors import DataError, UserError
from imgcls.io import terminal
from imgcls.models import HEAD
from imgcls.transfer.class_names import match_classes
from imgcls.transfer.layer_names import renumber
from imgcls.transfer.record import ClassRow, Status, TensorRow
from imgcls.transfer.weights import Tensor, Weights

if TYPE_CHECKING:
    import numpy

_MAX_MISSING_FRACTION = 0.5
"""The fraction of a model's weights, without the last dense layer, that a source may lack."""


class Layer(NamedTuple):
    """A layer of the model, with the values of its variables by their names, in their order."""

    name: str
    values: dict[str, Any]


@dataclass
class Matched:
    """The result of matching.

    Attributes:
        values: new values by the layer's name and the variable's position.
        rows: of all tensors.
        classes: of the last dense layer; empty if it is new.
    """

    values: dict[tuple[str, int], "numpy.ndarray"] = field(default_factory=dict)
    rows: list[TensorRow] = field(default_factory=list)
    classes: list[ClassRow] = field(default_factory=list)

    def set(self, layer: Layer, position: int, value: Any, source: Tensor, reason: str) -> None:
        """Record that a tensor is loaded."""
        self.values[layer.name, position] = value
        self._add_row(layer, position, "loaded", source.name, reason)

    def add_new(self, layer: Layer, reason: str) -> None:
        """Record that a layer keeps its random values."""
        for position in range(len(layer.values)):
            self._add_row(layer, position, "new", None, reason)

    def load_classes(self, head: Layer, tensors: list[Tensor], found: list[int | None]) -> None:
        """Load the rows of known classes; those of the others keep their random values.

        Args:
            found: for each class the index of its row in the source.
        """
        import numpy

        known = [number for number, index in enumerate(found) if index is not None]
        indices = [index for index in found if index is not None]
        status: Status = "loaded"
        reason = ""
        if len(known) < len(found):
            status, reason = "partly loaded", f"{len(known)} of {len(found)} classes"
        for position, (value, tensor) in enumerate(zip(head.values.values(), tensors, strict=True)):
            new = numpy.array(value)
            new[..., known] = _require_finite(tensor)[..., indices]
            self.values[head.name, position] = new
            self._add_row(head, position, status, tensor.name, reason)

    def add_unused(self, tensors: list[Tensor], reason: str) -> None:
        """Record tensors of the source that the model does not have."""
        for tensor in tensors:
            self.rows.append(_make_row(tensor.name, tensor.array, "unused", tensor.name, reason))

    def _add_row(
        self, layer: Layer, position: int, status: Status, source: str | None, reason: str
    ) -> None:
        name, value = list(layer.values.items())[position]
        self.rows.append(_make_row(f"{layer.name}/{name}", value, status, source, reason))


def _make_row(
    tensor: str, value: Any, status: Status, source: str | None, reason: str
) -> TensorRow:
    shape = list(map(int, value.shape))
    return TensorRow(tensor=tensor, shape=shape, status=status, source=source, reason=reason)


def match(
    layers: Sequence[Layer], weights: Weights, classes: Sequence[str], sums_channels: bool
) -> Matched:
    """Return the values that a model gets, and what became of each tensor.

    Args:
        layers: those with variables, from the input on.
        classes: of the model.
        sums_channels: whether kernels for three channels may be summed for one.

    Raises:
        UserError: the weights are of another architecture, or for images with other channels.
        DataError: they are not finite.
    """
    matched = Matched()
    sources = {name: (key, weights.layers[key]) for key, name in _renumber(weights.layers).items()}
    names = _renumber([layer.name for layer in layers])
    used, mismatches = set(), []
    for number, layer in enumerate(layers):
        if layer.name == HEAD:
            continue
        key, tensors = sources.get(names[layer.name], ("", None))
        if tensors is None:
            matched.add_new(layer, f"{weights.source} does not have this layer")
            continue
        problem = _match_layer(matched, layer, tensors, sums_channels and number == 0)
        if problem:
            mismatches.append(problem)
            if number == 0:
                _require_same_channels(layer, tensors)
        used.add(key)
    count = sum(len(layer.values) for layer in layers if layer.name != HEAD)
    _require_same_architecture(matched, weights, mismatches, count)
    for layer in layers:
        if layer.name == HEAD:
            used |= _match_head(matched, layer, weights, classes)
    _add_unused(matched, weights, used)
    return matched


def _renumber(names: Collection[str]) -> dict[str, str]:
    """Return each name as `renumber` does; a layer's class is known by its name alone."""
    automatic = ((name, _AUTOMATIC.fullmatch(name)) for name in names)
    kinds = {name: parsed[1] for name, parsed in automatic if parsed}
    return renumber({name: name for name in names}, kinds)


_AUTOMATIC = re.compile(
    r"(batch_normalization|conv2d|dense|depthwise_conv2d|layer_normalization|layer_scale"
    r"|normalization|separable_conv2d)(?:_\d+)?"
)
"""Names that Keras gives to layers with weights."""


def _match_layer(
    matched: Matched, layer: Layer, tensors: list[Tensor], sums_channels: bool
) -> str | None:
    """Load the tensors of a layer; return what does not match, or None."""
    values = list(layer.values.values())
    if len(tensors) != len(values):
        return f"{layer.name} has {len(tensors)} tensors there, {len(values)} here"
    for position, (value, tensor) in enumerate(zip(values, tensors, strict=True)):
        there, here = tuple(tensor.array.shape), tuple(value.shape)
        if there == here:
            matched.set(layer, position, _require_finite(tensor), tensor, "")
        elif sums_channels and there == _with_channels(here, 3) and here[2] == 1:
            total = tensor.array.astype("float64").sum(axis=2, keepdims=True)
            matched.set(layer, position, total, tensor, "summed over its 3 channels, for 1")
        else:
            return f"{layer.name} has the shape {_format(there)} there, {_format(here)} here"
    return None


def _with_channels(shape: tuple[int, ...], channels: int) -> tuple[int, ...] | None:
    """Return the shape of a convolution kernel for images with other channels."""
    return (*shape[:2], channels, shape[3]) if len(shape) == 4 else None


def _require_finite(tensor: Tensor) -> Any:
    import numpy

    if not numpy.isfinite(tensor.array).all():
        raise DataError(
            f"the weights {tensor.name} are not finite: the training that wrote them diverged; give"
            " other weights in model.weights"
        )
    return tensor.array


def _require_same_channels(first: Layer, tensors: list[Tensor]) -> None:
    """Check that the kernels of the first layer do not differ in the channels of the images alone.

    Raises:
        UserError: they do.
    """
    here = tuple(next(iter(first.values.values())).shape)
    there = tuple(tensors[0].array.shape)
    if len(there) == 4 and there != here and there == _with_channels(here, there[2]):
        raise UserError(
            f"the weights are for images with {there[2]} channels, but these have {here[2]}; set"
            f" data.channels: {there[2]}, and run `imgcls prepare` again, or remove model.weights"
        )


def _require_same_architecture(
    matched: Matched, weights: Weights, mismatches: list[str], count: int
) -> None:
    """Check that what is loaded is the model and not, by chance, layers of the same name.

    Args:
        count: of the model's tensors, without the last dense layer.

    Raises:
        UserError: a shape differs, or too much is missing.
    """
    new = [row for row in matched.rows if row.status == "new"]
    loaded = sum(_count(row) for row in matched.rows if row.status == "loaded")
    total = loaded + sum(map(_count, new))
    missing = [f"{row.tensor} is missing there" for row in new]
    if (
        not mismatches
        and not (missing and weights.is_complete)
        and total - loaded <= _MAX_MISSING_FRACTION * total
    ):
        return
    problems = [*mismatches, *missing]
    raise UserError(
        f"model.weights: {weights.source} is of another architecture: of {count:,}"
        f" tensors {len(matched.rows) - len(new):,} match; give weights of the same model with the"
        " same settings, or change model.\n"
        f"{terminal.format_lines(problems)}"
    )


def _count(row: TensorRow) -> int:
    return math.prod(row.shape)


def _match_head(
    matched: Matched, head: Layer, weights: Weights, classes: Sequence[str]
) -> set[str]:
    """Load the rows of the last dense layer by class name; return the source's layers used."""
    tensors = weights.layers.get(HEAD)
    if tensors is None or weights.classes is None:
        what = "last dense layer" if tensors is None else "names of its classes"
        matched.add_new(head, f"{weights.source} does not have the {what}")
        return set()
    found = match_classes(classes, weights.classes)
    for value, tensor in zip(head.values.values(), tensors, strict=True):
        if tensor.array.shape != (*value.shape[:-1], len(weights.classes)):
            raise UserError(
                f"model.weights: the last dense layer of {weights.source} has the shape"
                f" {_format(tensor.array.shape)}, which does not suit"
                f" {len(weights.classes)} classes and the {_format(value.shape)} here"
            )
    if not any(index is not None for index in found):
        matched.add_new(head, "no class has the name of one in the source")
        return set()
    matched.load_classes(head, tensors, found)
    names = [None if index is None else weights.classes[index] for index in found]
    matched.classes = [
        ClassRow(name=name, source=source) for name, source in zip(classes, names, strict=True)
    ]
    return {HEAD}


def _add_unused(matched: Matched, weights: Weights, used: set[str]) -> None:
    """Add a row for each tensor of the source that the model does not get."""
    head_reason = _NO_NAMES if weights.classes is None else _NO_MATCH
    for name, tensors in weights.layers.items():
        if name not in used:
            reason = head_reason if name == HEAD else "the model does not have this layer"
            matched.add_unused(tensors, reason)
    for tensor, reason in weights.leftovers:
        matched.add_unused([tensor], reason)


_NO_MATCH = "its rows are matched by class name, and no name matches"
_NO_NAMES = "its rows are matched by class name, and the source does not name its classes"


def _format(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"
