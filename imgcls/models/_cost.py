"""What a model costs: parameters, multiply-adds, memory of training. Heavy zone.

Counted in the graph of a training step on one image, as TensorFlow traces it: so layers within
layers, and layers that are called twice, count as they are computed.
"""

import math
from typing import Any, NamedTuple

from imgcls.backend import keras, tf
from imgcls.models._dropout import register_rows

MIB = 2**20
COPIES = 4
"""Numbers that training holds for a parameter: its value, its gradient, and Adam's two moments."""


class Cost(NamedTuple):
    """The cost of a model.

    Attributes:
        parameters: number of trainable parameters.
        multiply_adds: of the convolutions and matrix products, for one image without training.
        model_mib: mebibytes of float32 for weights, gradients and Adam's moments.
        image_mib: mebibytes that each image of a batch adds in training, in float32: what the
            forward pass keeps for the backward pass.
    """

    parameters: int
    multiply_adds: int
    model_mib: float
    image_mib: float


def measure(model: keras.Model) -> Cost:
    """Count what a model costs.

    Args:
        model: from uint8 images (batch, height, width, channels) to logits, in float32.
    """
    sizes = [math.prod(variable.shape) for variable in model.trainable_variables]
    others = sum(math.prod(variable.shape) for variable in model.non_trainable_variables)
    forward, backward = _trace(model)
    return Cost(
        parameters=sum(sizes),
        multiply_adds=sum(map(_count_multiply_adds, forward)),
        model_mib=4 * (COPIES * sum(sizes) + others) / MIB,
        image_mib=_count_kept_bytes(forward, backward) / MIB,
    )


def count_multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of a model's convolutions and matrix products in inference.

    Args:
        model: from images (batch, height, width, channels) of any dtype.

    Returns:
        Their number for one image.
    """
    (images,) = model.inputs
    function = tf.function(lambda inputs: model(inputs, training=False))
    graph = function.get_concrete_function(
        tf.TensorSpec([1, *images.shape[1:]], images.dtype)
    ).graph
    return sum(map(_count_multiply_adds, graph.get_operations()))


def _trace(model: keras.Model) -> tuple[list[tf.Operation], list[tf.Operation]]:
    """Return the operations of the forward and of the backward pass on one image."""
    # Another model of the same layers, since one that was called before cannot take more arguments.
    called = register_rows(keras.Model(model.inputs[0], model.outputs[0]))
    forward: list[tf.Operation] = []

    def compute_gradients(images: tf.Tensor) -> list[tf.Tensor]:
        variables = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape() as tape:
            logits = called(images, training=True, step=tf.constant(0), first_row=tf.constant(0))
        forward.extend(tf.compat.v1.get_default_graph().get_operations())
        return tape.gradient(logits, variables)

    image = tf.TensorSpec([1, *model.inputs[0].shape[1:]], tf.uint8)
    graph = tf.function(compute_gradients).get_concrete_function(image).graph
    return forward, graph.get_operations()[len(forward) :]


def _count_kept_bytes(forward: list[tf.Operation], backward: list[tf.Operation]) -> int:
    """Return the bytes of the forward pass's results that the backward pass reads.

    Weights are left out: only what is computed from the images is kept for each of them.
    """
    from_images: set[str] = set()
    for operation in forward:  # in the order of computation
        is_image = operation.type == "Placeholder" and operation.outputs[0].dtype == tf.uint8
        if is_image or any(tensor.op.name in from_images for tensor in operation.inputs):
            from_images.add(operation.name)
    read = [_find_origin(tensor) for operation in backward for tensor in operation.inputs]
    kept = {
        tensor.name: tensor
        for tensor in read
        if tensor.op.name in from_images and not _is_work_space(tensor)
    }
    return sum(math.prod(each.shape) * each.dtype.size for each in kept.values())


def _find_origin(tensor: tf.Tensor) -> tf.Tensor:
    """Return the tensor whose memory a tensor shares."""
    while tensor.op.type in ("Identity", "Reshape", "Squeeze", "ExpandDims"):
        tensor = tensor.op.inputs[0]
    return tensor


def _is_work_space(tensor: tf.Tensor) -> bool:
    """Return whether batch norm keeps a tensor for cuDNN, of unknown size; on a CPU it is empty."""
    return tensor.op.type == "FusedBatchNormV3" and tensor.value_index == 5


def _count_multiply_adds(operation: Any) -> int:
    """Return the multiply-adds of an operation, and of a function that it calls."""
    kind = operation.type
    if kind in ("PartitionedCall", "StatefulPartitionedCall"):
        function = operation.graph._get_function(operation.get_attr("f").name)
        return sum(map(_count_multiply_adds, function.graph.get_operations()))
    if kind not in ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2", "Einsum"):
        return 0
    left, right, outputs = operation.inputs[0].shape, operation.inputs[1].shape, operation.outputs
    if kind == "Einsum":
        return _count_einsum(operation.get_attr("equation").decode(), left, right)
    if kind == "Conv2D":
        factors = right[:3]
    elif kind == "DepthwiseConv2dNative":
        factors = right[:2]
    else:
        is_transposed = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        factors = [left[-2 if is_transposed else -1]]
    return math.prod(outputs[0].shape) * math.prod(factors)


def _count_einsum(equation: str, left: tf.TensorShape, right: tf.TensorShape) -> int:
    """Return the product of the sizes of all labels of an equation of two tensors."""
    labels = equation.partition("->")[0].replace(",", "")
    return math.prod(dict(zip(labels, [*left, *right], strict=True)).values())
