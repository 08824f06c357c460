"""The operations of a functional model in the order of computation. Heavy zone."""

from collections.abc import Callable
from typing import Any

from imgcls.backend import keras

Compute = Callable[..., Any]
"""A function of an operation and its arguments, which returns what stands for its outputs."""


def walk(model: keras.Model, inputs: Any, compute: Compute) -> list[Any]:
    """Compute a model's graph with a function in the place of each operation's call.

    Models within the model are walked through, so that the function sees the layers in them.

    Args:
        model: functional or sequential.
        inputs: what stands for the model's inputs, in their structure.

    Returns:
        What stands for its outputs.
    """

    def call(operation: Any, *arguments: Any, **settings: Any) -> Any:
        if isinstance(operation, keras.Model) and _has_graph(operation):
            outputs = walk(operation, arguments[0], compute)
            return keras.tree.pack_sequence_as(operation.output, outputs)
        # Those that a call of a nested model was given, or Keras's own calls.
        given = {name: value for name, value in settings.items() if value is not None}
        return compute(operation, *arguments, **given)

    # Keras has no public function for it that does not build a model.
    outputs = _get_functional(model)._run_through_graph(inputs, call_fn=call)
    return list(keras.tree.flatten(outputs))


def _get_functional(model: keras.Model) -> Any:
    return model._functional if isinstance(model, keras.Sequential) else model


def _has_graph(model: keras.Model) -> bool:
    """Return whether a model is functional, and not a class with a `call` of its own."""
    return hasattr(_get_functional(model), "_run_through_graph")


def name_kind(operation: Any) -> str:
    """Return the kind of a layer or operation of Keras, such as `layers.Add` or `ops.Add`.

    A class that is not Keras's own has no kind: it may do anything.
    """
    cls = type(operation)
    if not cls.__module__.startswith("keras.src."):
        return ""
    folder = "layers" if isinstance(operation, keras.layers.Layer) else "ops"
    return f"{folder}.{cls.__name__}"
