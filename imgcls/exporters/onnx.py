"""ONNX, the open format of ONNX Runtime, for CPUs, GPUs and browsers.

https://onnx.ai, operator set 18; converted by tf2onnx. The description is the entry `imgcls` of
`metadata_props`. Light zone.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from imgcls.exporters import PROBABILITIES, ConversionError, ExporterSettings

if TYPE_CHECKING:
    from imgcls.exporters import Runtime

OPERATOR_SET = 18
"""The latest that tf2onnx 1.17 writes."""


class Settings(ExporterSettings):
    """The settings of ONNX."""

    file_name: ClassVar[str] = "model.onnx"
    extra: ClassVar[str | None] = "onnx"
    packages: ClassVar[dict[str, str]] = {
        "tf2onnx": "tf2onnx",
        "onnx": "onnx",
        "onnxruntime": "onnxruntime",
    }


EXAMPLE = """
import onnxruntime

model = onnxruntime.InferenceSession(str(folder / "model.onnx"))
(probabilities,) = model.run(["probabilities"], {"images": images})
"""


def convert(saved_model: Path, target: Path, description: str) -> None:
    """Write the model as a file of ONNX.

    Raises:
        ConversionError: ONNX lacks an operation.
    """
    from tf2onnx import optimizer, tf_loader, tfonnx

    from imgcls.backend import tf

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what it logs is raised below
    graph, inputs, outputs, names = tf_loader.from_saved_model(
        str(saved_model), None, None, "serve", ["serving_default"], return_tensors_to_rename=True
    )
    with tf.Graph().as_default() as frozen:
        tf.import_graph_def(graph, name="")
        converted = tfonnx.process_tf_graph(
            frozen,
            opset=OPERATOR_SET,
            custom_op_handlers={"Erfc": (_convert_erfc, [])},
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=names,
        )
    model = optimizer.optimize_graph(converted).make_model("imgcls")
    _require_known_operations(model.graph)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.metadata_props.add(key="imgcls", value=description)
    target.write_bytes(model.SerializeToString())


def _convert_erfc(context: Any, node: Any, name: str, arguments: list[Any]) -> None:
    """Replace Erfc, which ONNX lacks, and with which TensorFlow computes GELU, by 1 - Erf.

    Args:
        context: tf2onnx's graph.
        node: to replace.
        arguments: none; tf2onnx passes them.
    """
    import numpy

    output = node.output[0]
    kind: dict[str, Any] = {
        "shapes": [context.get_shape(output)],
        "dtypes": [context.get_dtype(output)],
    }
    erf = context.make_node("Erf", node.input, name=f"{name}/erf", **kind)
    one = context.make_const(f"{name}/one", numpy.ones((), numpy.float32))
    context.remove_node(node.name)
    context.make_node("Sub", [one.output[0], erf.output[0]], outputs=[output], name=name, **kind)


def _require_known_operations(graph: Any) -> None:
    """Check a graph's operations, since tf2onnx leaves those of TensorFlow that ONNX lacks.

    Raises:
        ConversionError: there is one.
    """
    from onnx import defs

    known = {schema.name for schema in defs.get_all_schemas()}
    unknown = {node.op_type for node in graph.node if not node.domain} - known
    if unknown:
        raise ConversionError(f"ONNX has no {', '.join(sorted(unknown))}", sorted(unknown))


def load(artifact: Path, threads: int) -> "Runtime":
    """Return the function that predicts with a file of ONNX, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors, which are raised too
    session = onnxruntime.InferenceSession(
        str(artifact), options, providers=["CPUExecutionProvider"]
    )
    (source,) = session.get_inputs()
    return lambda images: session.run([PROBABILITIES], {source.name: images})[0]
