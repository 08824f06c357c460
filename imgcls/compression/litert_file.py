"""Writes LiteRT files of networks, quantized or not. Heavy zone."""

import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy

from imgcls.backend import keras, tf
from imgcls.compression import ai_edge
from imgcls.compression.context import Context
from imgcls.compressors.quantize import Settings
from imgcls.errors import DataError, UserError
from imgcls.export import convert
from imgcls.export.float32 import to_float32
from imgcls.exporters import IMAGES
from imgcls.input.sampler import shuffle_epoch
from imgcls.io import files
from imgcls.io.records import to_json
from imgcls.seeds import derive_seed
from imgcls.training import model_file
from imgcls.training.model_description import MEMBER

Type = Literal["float32", "float16", "dynamic", "int8"]
"""What weights and computation are."""


def choose_calibration_images(context: Context, count: int) -> numpy.ndarray:
    """Return training images chosen by the run's seed, uint8 (count, height, width, channels).

    Raises:
        DataError: there are fewer, or the data is missing.
    """
    examples = context.get_examples("train")
    if len(examples) < count:
        raise DataError(
            f"method {context.method} needs {count} training images to measure the ranges of int8,"
            f" but the split has {len(examples)}; set type to float16 or dynamic, or train on more"
        )
    seed = derive_seed(context.experiment.seed, "quantize")
    images, _ = examples.read(numpy.sort(shuffle_epoch(len(examples), seed, 0)[:count]))
    return images


def write_model(
    context: Context, settings: Settings, images: numpy.ndarray | None, target: Path
) -> None:
    """Write the network of a context with its temperature as a LiteRT file, and its description.

    The description is appended as a ZIP archive, as in exported files.

    Args:
        images: to calibrate int8 with, uint8 (images, height, width, channels).

    Raises:
        UserError: LiteRT cannot express the network, or the disk is full.
    """
    temperature = context.description.calibration.temperature
    serving = model_file.make_serving_model(context.model, temperature)
    with files.explain_errors(target):
        buffer = io.BytesIO(_quantize(serving, settings, images, context.result.folder))
        with zipfile.ZipFile(buffer, "a") as archive:
            member = zipfile.ZipInfo(MEMBER, model_file.ZIP_EPOCH)
            archive.writestr(member, to_json(context.description, indent=2))
        with files.replace_file(target) as stream:
            stream.write(buffer.getvalue())


def _quantize(
    serving: keras.Model, settings: Settings, images: numpy.ndarray | None, parent: Path
) -> bytes:
    """Return a model as a quantized file, by what the settings say; see `convert_model`."""
    kind = settings.type
    if settings.quantizer == "converter" or kind == "float16":
        return convert_model(serving, kind, images, parent)
    return ai_edge.quantize(convert_model(serving, "float32", None, parent), kind, images)


def convert_model(
    serving: keras.Model, kind: Type, images: numpy.ndarray | None, parent: Path
) -> bytes:
    """Return a model as a LiteRT file.

    Args:
        serving: from uint8 images to probabilities, of any precision.
        images: to calibrate int8 with, uint8 (images, height, width, channels).
        parent: a folder for temporary files.

    Raises:
        UserError: LiteRT cannot express the network.
    """
    with tempfile.TemporaryDirectory(dir=parent, prefix=".model-") as folder:
        graph = Path(folder) / "graph"
        convert.write_saved_model(to_float32(serving), graph)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(graph))
        operations = tf.lite.OpsSet.TFLITE_BUILTINS
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if images is not None:
            converter.representative_dataset = lambda: _iterate(images)
            operations = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        converter.target_spec.supported_ops = [operations]
        return _convert(converter, kind)


def _iterate(images: numpy.ndarray) -> Iterator[dict[str, numpy.ndarray]]:
    """Yield images one by one, as inputs of the signature."""
    for row in range(len(images)):
        yield {IMAGES: images[row : row + 1]}


def _convert(converter: "tf.lite.TFLiteConverter", kind: Type) -> bytes:
    try:
        with convert.explain_full_disk(), convert.silence_libraries():
            content: bytes = converter.convert()
            return content
    except (MemoryError, OSError):
        raise
    except Exception as error:  # the converter raises nearly anything
        raise UserError(
            f"LiteRT cannot express this network as {kind}: {convert.summarize(error)}; choose"
            " another type, or another method"
        ) from None
