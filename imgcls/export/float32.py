"""Models of any precision, computed in float32. Heavy zone."""

from typing import Any

from imgcls.backend import keras

_OTHERS = ("mixed_bfloat16", "mixed_float16", "float64", "bfloat16", "float16")


def to_float32(model: keras.Model) -> keras.Model:
    """Return a model with the same weights, all of whose layers compute in float32.

    The weights of a model that was trained in a mixed precision are float32 already; those of
    float64 are rounded.
    """
    converted = type(model).from_config(_replace_dtypes(model.get_config()))
    converted.set_weights(model.get_weights())
    return converted


def _replace_dtypes(config: Any) -> Any:
    """Replace the names of other dtypes and policies in a model's configuration."""
    if isinstance(config, dict):
        return {key: _replace_dtypes(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_replace_dtypes(value) for value in config)
    return "float32" if isinstance(config, str) and config in _OTHERS else config
