"""Factors on the learning rates of a model's layers, by name and by depth. Heavy zone."""

import re

from imgcls.backend import keras
from imgcls.io import terminal
from imgcls.train_config import Train
from imgcls.training import layer_selection

_BLOCK = re.compile(r"stem|.*?block_?[0-9]+[a-z]?")
"""The beginning of a layer's name that layers of one block have in common, in the models of imgcls
and of Keras.
"""


def compute_factors(settings: Train, model: keras.Model) -> dict[int, float]:
    """Return the factors of `train.learning_rate_factors` and `train.layer_decay`.

    Prints a note with the factors by depth.

    Returns:
        Factors other than 1, by index in the model's trainable variables.

    Raises:
        UserError: a regular expression is found in no layer's name.
    """
    found: dict[int, float] = {}
    for number, entry in enumerate(settings.learning_rate_factors):
        key = f"train.learning_rate_factors.{number}.layers"
        for layer in layer_selection.select_by_name(model, entry.layers, key):
            _multiply(found, layer, entry.factor)
    if settings.layer_decay is not None:
        _add_layer_decay(found, model, settings.layer_decay)
    indices = {id(variable): i for i, variable in enumerate(model.trainable_variables)}
    return {indices[key]: factor for key, factor in found.items() if key in indices}


def group_by_block(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Return the layers with weights by depth, those of a block together.

    The first group is that at the input; the last dense layer is left out.
    """
    groups: dict[str, list[keras.layers.Layer]] = {}
    for layers in layer_selection.group_by_depth(model):
        block = _BLOCK.match(layers[0].name)
        groups.setdefault(block[0] if block else layers[0].name, []).extend(layers)
    return list(groups.values())


def _add_layer_decay(found: dict[int, float], model: keras.Model, decay: float) -> None:
    """Multiply the factor of each group by a power of `decay`; that of the last dense layer stays.

    As in timm's `param_groups_layer_decay` (Bao et al., 2022, "BEiT", appendix).
    """
    groups = group_by_block(model)
    for number, layers in enumerate(groups):
        for layer in layers:
            _multiply(found, layer, decay ** (len(groups) - number))
    if groups:
        terminal.note(
            f"train.layer_decay is {decay:g}: the learning rates of {len(groups)} groups of layers,"
            f" from {groups[0][0].name} to {groups[-1][-1].name}, are multiplied by"
            f" {decay ** len(groups):.3g} to {decay:g}, and that of the last layer by 1"
        )


def _multiply(found: dict[int, float], layer: keras.layers.Layer, factor: float) -> None:
    """Multiply the factors of a layer's variables, by their ids."""
    for variable in layer.weights:
        found[id(variable)] = found.get(id(variable), 1.0) * factor
