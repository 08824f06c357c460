"""Compares the layers of two models that are to have the same weights. Light zone."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from imgcls.models import HEAD

_WITHOUT_EFFECT = re.compile(
    "name|trainable|dtype|seed|rate|synchronized|momentum|noise_shape|batch_shape|sparse|ragged"
    "|optional|lora_rank|lora_alpha|quantization_config|.*_(initializer|regularizer|constraint)"
)
"""Settings of layers that do not change what a trained network computes."""
_OF_THE_DATA = {"standardize": {"mean", "variance"}, HEAD: {"units"}}
"""Settings of layers that follow from the data set."""
_DROPOUT = ("Dropout", "SpatialDropout2D", "StochasticDepth")
"""Classes of layers that do nothing outside of training."""


def find_differences(
    there: Sequence[Mapping[str, Any]], here: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return how the layers of two models differ, by their configurations, a line each."""
    old, new = _index(there), _index(here)
    differences = [f"{name} is missing here" for name in old if name not in new]
    differences += [f"{name} is missing there" for name in new if name not in old]
    for name, (kind, settings) in new.items():
        kind_there, settings_there = old.get(name, (kind, settings))
        if kind_there != kind:
            differences.append(f"{name} is a {kind_there} there, a {kind} here")
            continue
        for key in sorted(settings.keys() | settings_there.keys()):
            before, after = settings_there.get(key), settings.get(key)
            if before != after:
                differences.append(f"{name}: {key} is {before!r} there, {after!r} here")
    return differences


def _index(configs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return class and settings that matter of each layer, by its name."""
    layers = {}
    for config in configs:
        kind, own = str(config.get("class_name")), dict(config.get("config") or {})
        name = str(own.get("name", config.get("name")))
        if kind in _DROPOUT or kind == "InputLayer" or name in ("temperature", "probabilities"):
            continue
        left_out = _OF_THE_DATA.get(name, set())
        layers[name] = (
            kind,
            {
                key: _simplify(value)
                for key, value in own.items()
                if not _WITHOUT_EFFECT.fullmatch(key) and key not in left_out
            },
        )
    return layers


def _simplify(value: Any) -> Any:
    """Return a value as JSON has it."""
    return [_simplify(each) for each in value] if isinstance(value, list | tuple) else value
