"""Quantizes files of LiteRT by AI Edge Quantizer. Heavy zone.

https://github.com/google-ai-edge/ai-edge-quantizer. It takes a file of float32 and a recipe: which
operations are quantized how, and in which the file stays as it is.
"""

import contextlib
import io
from typing import Literal

import numpy

from imgcls.errors import UserError
from imgcls.evaluation.compiled_model import count_threads
from imgcls.export import convert
from imgcls.exporters import IMAGES

SIGNATURE = "serving_default"
"""The signature of every file that imgcls converts."""


def quantize(
    content: bytes, kind: Literal["dynamic", "int8"], images: numpy.ndarray | None
) -> bytes:
    """Return a quantized file.

    The softmax stays in float32, so that probabilities add up to 1, and so does the output.

    Args:
        content: a file of LiteRT of float32.
        images: to measure the ranges of int8 on, uint8 (images, height, width, channels).

    Raises:
        UserError: the quantizer cannot express the network.
    """
    # The quantizer prints to stdout, which has the result of the command alone.
    with convert.silence_libraries(), contextlib.redirect_stdout(io.StringIO()):
        from ai_edge_quantizer import qtyping, quantizer, recipe
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        made = quantizer.Quantizer(
            content, recipe.static_wi8_ai8() if kind == "int8" else recipe.dynamic_wi8_afp32()
        )
        if kind == "int8":
            for operation in (qtyping.TFLOperationName.SOFTMAX, qtyping.TFLOperationName.OUTPUT):
                made.update_quantization_recipe(
                    ".*", operation, algorithm_key=AlgorithmName.NO_QUANTIZE
                )
        try:
            ranges = None
            if images is not None:
                rows = [{IMAGES: images[row : row + 1]} for row in range(len(images))]
                ranges = made.calibrate({SIGNATURE: rows}, num_threads=count_threads())
            return bytes(made.quantize(ranges).quantized_model)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # it raises nearly anything
            raise UserError(
                f"AI Edge Quantizer cannot express this network as {kind}:"
                f" {convert.summarize(error)}; set quantizer: converter, or another type"
            ) from None
