"""Selects layers of a model by name or by depth. Heavy zone."""

import re
from collections.abc import Iterator

from imgcls.backend import keras
from imgcls.errors import UserError
from imgcls.io import terminal
from imgcls.models import HEAD

_NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)
_MAX_NAMES = 12


def list_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers with weights, from the input to the output, those of nested models too."""
    return [layer for layer, _ in _iterate_with_names(model) if _has_weights(layer)]


def group_by_depth(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Return the layers with weights by depth: the first group is that at the input.

    A normalization layer belongs to the group of the layer before it. The last dense layer is left
    out.
    """
    groups: list[list[keras.layers.Layer]] = []
    numbers: dict[int, int] = {}
    for layer in list_layers(model):
        if layer.name == HEAD:
            continue
        number = _find_number_before(layer, numbers) if isinstance(layer, _NORMS) else None
        if number is None:
            number = len(groups)
            groups.append([])
        groups[number].append(layer)
        numbers[id(layer)] = number
    return groups


def select_by_depth(model: keras.Model, depth: float, key: str) -> list[keras.layers.Layer]:
    """Return the layers with weights of the first groups of `group_by_depth`.

    Args:
        depth: a float is a fraction of the groups, above 0 and up to 1, which is rounded, but to
            one at least; an int is a number of them.
        key: of the setting, for messages.

    Raises:
        UserError: the model has fewer groups.
    """
    groups = group_by_depth(model)
    count = depth if isinstance(depth, int) else max(round(depth * len(groups)), 1)
    if count > len(groups):
        raise UserError(
            f"{key} is {depth}, but the model has {len(groups)} layers with weights before the last"
            f" one ({_format_names([group[0].name for group in groups])}); give at most that many,"
            " or a fraction such as 0.5"
        )
    return [layer for group in groups[:count] for layer in group]


def select_by_name(model: keras.Model, pattern: str, key: str) -> list[keras.layers.Layer]:
    """Return the layers with weights in whose name a regular expression is found.

    A layer of a nested model is also selected by the name of that model.

    Args:
        pattern: a valid regular expression, as `LayerPattern` checks.
        key: of the setting, for messages.

    Raises:
        UserError: it is found in none; the error lists layers.
    """
    compiled = re.compile(pattern)
    named = [(layer, names) for layer, names in _iterate_with_names(model) if _has_weights(layer)]
    selected = [layer for layer, names in named if any(map(compiled.search, names))]
    if not selected:
        raise UserError(
            f"{key} is {pattern!r}, which is found in the name of no layer with weights; the model"
            f" has {_format_names([layer.name for layer, _ in named])}"
        )
    return selected


def _format_names(names: list[str]) -> str:
    """Return names on one line; of many, some from the input to the output."""
    if len(names) <= _MAX_NAMES:
        return terminal.format_some(names, _MAX_NAMES)
    shown = [names[i * (len(names) - 1) // (_MAX_NAMES - 1)] for i in range(_MAX_NAMES)]
    return f"{len(names)} of them, such as {', '.join(shown)}"


def _iterate_with_names(
    model: keras.Model, outer: tuple[str, ...] = ()
) -> Iterator[tuple[keras.layers.Layer, tuple[str, ...]]]:
    """Yield each layer once, with its name and those of the nested models that contain it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _iterate_with_names(layer, (*outer, layer.name))
        else:
            yield layer, (*outer, layer.name)


def _has_weights(layer: keras.layers.Layer) -> bool:
    """Return whether a layer has weights that training could change."""
    return bool(layer.weights) and not isinstance(layer, keras.layers.Normalization)


def _find_number_before(layer: keras.layers.Layer, numbers: dict[int, int]) -> int | None:
    """Return the last group from which the inputs of a layer come; None if there is none.

    Args:
        numbers: of the groups of the layers before it, by the id of the layer.
    """
    # Keras has no public function for the layers before another one.
    parents = [node.operation for node in layer._inbound_nodes[0].parent_nodes]
    found: list[int | None] = []
    for parent in parents:
        inner = list_layers(parent) if isinstance(parent, keras.Model) else []
        if inner:
            found.append(numbers.get(id(inner[-1])))
        elif id(parent) in numbers:
            found.append(numbers[id(parent)])
        elif parent._inbound_nodes:
            found.append(_find_number_before(parent, numbers))
    return max((number for number in found if number is not None), default=None)
