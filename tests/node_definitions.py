"""What TensorFlow's registry knows of the nodes of a graph: kernels for GPUs, arguments, types.

All functions take a `NodeDef`, of a graph without functions.
"""

import functools
from typing import Any


@functools.cache
def _get_kernels(op: str) -> list[Any]:
    from tensorflow.python.framework import kernels

    found = kernels.get_registered_kernels_for_op(op).kernel
    on_gpu = [kernel for kernel in found if kernel.device_type == "GPU" and not kernel.label]
    return on_gpu + [kernel for kernel in found if kernel.device_type == "DEFAULT"]


def find_kernel(node: Any) -> tuple[str, ...] | None:
    """Return the arguments that a node's GPU kernel has in host memory; None without a kernel.

    Args:
        node: a NodeDef.
    """
    if node.op == "Placeholder":  # the arguments of the function
        return ("output",) if _name_type(node.attr["dtype"].type) == "int32" else ()
    attributes = _get_attributes(node)
    for kernel in _get_kernels(node.op):
        if all(
            _allows(constraint, attributes.get(constraint.name)) for constraint in kernel.constraint
        ):
            return tuple(kernel.host_memory_arg)
    return None


def _allows(constraint: Any, value: Any) -> bool:
    allowed = constraint.allowed_values.list.type
    types = value.list.type if value.HasField("list") else [value.type]
    return not allowed or all(each in allowed for each in types)


def _get_attributes(node: Any) -> dict[str, Any]:
    """Return a node's attributes, with defaults."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    defaults = {
        each.name: each.default_value for each in definition.attr if each.HasField("default_value")
    }
    return {**defaults, **node.attr}


def _name_type(number: int) -> str:
    from imgcls.backend import tf

    return tf.as_dtype(number).name


def describe_types(node: Any) -> str:
    """Return the type attributes of a node, such as `T=float32`."""
    found = {name: value for name, value in sorted(node.attr.items()) if value.type}
    return ", ".join(f"{name}={_name_type(value.type)}" for name, value in found.items())


def list_arguments(node: Any, direction: str) -> list[tuple[str, str]]:
    """Return name and type of each input or output; those of a list have the same name."""
    from tensorflow.python.framework import op_def_registry

    attributes, found = _get_attributes(node), []
    for each in getattr(op_def_registry.get(node.op), direction):
        if each.type_list_attr:
            types = list(attributes[each.type_list_attr].list.type)
        else:
            dtype = each.type or attributes[each.type_attr].type
            types = [dtype] * (attributes[each.number_attr].i if each.number_attr else 1)
        found += [(each.name, _name_type(dtype)) for dtype in types]
    return found


def pair_inputs(node: Any) -> list[tuple[str, tuple[str, str]]]:
    """Return the tensors that a node takes, each with name and type of its argument."""
    return list(zip(list_inputs(node), list_arguments(node, "input_arg"), strict=True))


def list_inputs(node: Any) -> list[str]:
    """Return the tensors that a node takes."""
    return [each for each in node.input if not each.startswith("^")]


def get_node(tensor: str) -> str:
    """Return the name of the node that makes a tensor."""
    return tensor.removeprefix("^").partition(":")[0]
