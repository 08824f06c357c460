"""Converts a model to the artifact of a format. Heavy zone."""

import contextlib
import errno
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from imgcls import parts
from imgcls.backend import keras, tf
from imgcls.errors import OutOfMemoryError, UserError
from imgcls.exporters import IMAGES, PROBABILITIES, ConversionError
from imgcls.io.stderr import redirect_stderr
from imgcls.training import micro_batches


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """Keep warnings and log lines of converters and runtimes in the block from the terminal."""
    with (
        open(os.devnull, "wb") as nothing,
        redirect_stderr(nothing),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def write_saved_model(model: keras.Model, folder: Path) -> None:
    """Write a model as a SavedModel, with the signature that all exporters convert.

    Args:
        model: from uint8 images to probabilities, in float32.

    Raises:
        OSError: the disk is full.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec(model.input_shape, tf.uint8, name=IMAGES)]
    with explain_full_disk(), silence_libraries():
        archive.add_endpoint(
            "serving_default",
            lambda images: {PROBABILITIES: model(images, training=False)},
            input_signature=signature,
        )
        archive.write_out(str(folder), verbose=False)


def convert(
    name: str, model: keras.Model, saved_model: Path, target: Path, description: str
) -> None:
    """Convert a SavedModel to a format.

    Args:
        name: of the exporter.
        model: what the SavedModel was made of.
        target: what to write.
        description: as for exporters.

    Raises:
        UserError: the format lacks an operation, or its converter failed.
        OutOfMemoryError: memory ran out.
        OSError: the disk is full.
    """
    part = parts.load("exporters", name)
    try:
        with explain_full_disk(), silence_libraries():
            part.convert(saved_model, target, description)
    except (MemoryError, OSError):
        raise
    except ConversionError as error:
        uses = [use for operation in error.operations for use in _find_uses(model, operation)]
        reason = "; ".join(uses) or summarize(error)
        raise UserError(
            f"{name} cannot express this model: {reason}; choose another format, or train a model"
            " without this operation"
        ) from None
    except Exception as error:  # converters raise nearly anything
        if isinstance(error, tf.errors.OpError) and micro_batches.is_out_of_memory(
            error, is_single=True
        ):
            reason = micro_batches.extract_reason(error)
            raise OutOfMemoryError(f"out of memory while converting to {name} ({reason})") from None
        raise UserError(
            f"the converter to {name} failed: {summarize(error)}; choose another format"
        ) from None


@contextlib.contextmanager
def explain_full_disk() -> Iterator[None]:
    """Convert what libraries raise if the disk is full to an `OSError`, which says it in its type.

    Raises:
        OSError: with ENOSPC.
    """
    try:
        yield
    except Exception as error:
        if os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise


def _find_uses(model: keras.Model, operation: str) -> list[str]:
    """Return a phrase for each layer of a model in which an operation of TensorFlow is used."""
    function = tf.function(lambda images: model(images, training=False))
    graph = function.get_concrete_function(tf.TensorSpec(model.input_shape, tf.uint8)).graph
    names = [each.name for each in graph.get_operations() if each.type == operation]
    layers = dict.fromkeys(_find_layer(model, name) for name in names)
    return [f"its layer '{layer}' uses {operation}" for layer in layers] or [f"it uses {operation}"]


def _find_layer(model: keras.Model, operation: str) -> str:
    """Return the layer of an operation such as `imgcls_1/logits_1/add/Add`, `logits`."""
    layers = {layer.name for layer in model.layers}
    names = operation.split("/")
    for name in names:
        # Keras numbers the scopes of a model that is called again.
        for candidate in (name, re.sub(r"_\d+$", "", name)):
            if candidate in layers:
                return candidate
    return "/".join(names[:-1])


def summarize(error: Exception) -> str:
    """Return the first line of an error that has words."""
    lines = [line.strip() for line in str(error).splitlines() if re.search(r"[a-z]{3}", line)]
    return lines[0] if lines else type(error).__name__
