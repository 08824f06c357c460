"""Prediction of probabilities with a saved model. Heavy zone."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy

from imgcls.backend import keras, tf
from imgcls.errors import DataError, OutOfMemoryError
from imgcls.evaluation.compiled_model import BATCHES_AHEAD, READING_THREADS, CompiledModel
from imgcls.evaluation.litert_model import SUFFIX, LiteRTModel
from imgcls.image.decode import Geometry
from imgcls.io import terminal, threads
from imgcls.io.data_file import DataFile
from imgcls.io.terminal import IMAGES
from imgcls.train_config import Precision
from imgcls.training import micro_batches
from imgcls.training.model_description import ADVICE, read_description
from imgcls.training.precision import set_float32_mode


class ImageReader(Protocol):
    """Reads images of one geometry: a reader of a store, or of views of its images."""

    @property
    def geometry(self) -> Geometry:
        """The geometry of the images."""

    def read(self, indices: numpy.ndarray) -> numpy.ndarray:
        """Return images, uint8 (n, height, width, channels)."""


def predict(
    model_file: Path,
    readers: Iterable[ImageReader],
    indices: numpy.ndarray,
    batch_size: int,
    precision: Precision,
    classes: list[str],
    fingerprint: str,
) -> Iterator[numpy.ndarray]:
    """Predict the probabilities of images of a store, with one reader after the other.

    Args:
        readers: of the images of the store or of views of them, all of one geometry; each reads
            one batch at a time.
        indices: of the images to predict, int64 (images,).
        precision: of the training; decides whether TensorFloat-32 is allowed.
        classes: class names in label order.
        fingerprint: of the store.

    Yields:
        float32 (images, classes), in the order of `indices`, for each reader.

    Raises:
        DataError: the model file is missing or damaged, or was trained on another store.
        OutOfMemoryError: a single image does not fit the device.
        UserError: an environment variable contradicts the precision.
    """
    set_float32_mode(precision)
    compiled = None
    for images in readers:
        if compiled is None:
            require_same_task(model_file, images.geometry, classes, fingerprint)
            model = open_model(model_file, images.geometry.shape, len(classes))
            compiled = Compilation(model)
        yield _predict_outputs(compiled, images, indices, batch_size).astype(numpy.float32)


def open_model(
    model_file: Path, shape: tuple[int, int, int], classes: int
) -> keras.Model | LiteRTModel:
    """Load a run's model, of Keras or of LiteRT; raises as `load_model` and `LiteRTModel`."""
    if model_file.suffix == SUFFIX:
        return LiteRTModel(model_file, shape, classes)
    return load_model(model_file, shape, classes)


def compile_model(model: keras.Model | LiteRTModel, batch_size: int) -> CompiledModel | LiteRTModel:
    """Return what predicts batches: a model of LiteRT as it is, and one of Keras compiled."""
    return model if isinstance(model, LiteRTModel) else CompiledModel(model, batch_size)


class Compilation:
    """What predicts batches of one size, compiled when the size is first asked for, or changes."""

    def __init__(self, model: keras.Model | LiteRTModel):
        self._model = model
        self._compiled: CompiledModel | LiteRTModel | None = None
        self._batch_size = 0

    def compile(self, batch_size: int) -> CompiledModel | LiteRTModel:
        """Return the model for batches of a size."""
        if self._compiled is None or self._batch_size != batch_size:
            self._compiled = compile_model(self._model, batch_size)
            self._batch_size = batch_size
        return self._compiled


def predict_outputs(
    model: keras.Model | LiteRTModel, images: ImageReader, indices: numpy.ndarray, batch_size: int
) -> numpy.ndarray:
    """Predict the outputs of a model, such as logits, for images of a store.

    If a batch does not fit the device, all images are predicted again in batches of half the size,
    so that all results come from the same batch size.

    Args:
        images: reads the images of the store, one batch at a time.
        indices: of the images to predict, int64 (images,), at least one.

    Returns:
        (images, ...) of the output's dtype, in the order of `indices`.

    Raises:
        OutOfMemoryError: a single image does not fit the device.
    """
    return _predict_outputs(Compilation(model), images, indices, batch_size)


def _predict_outputs(
    compiled: Compilation, images: ImageReader, indices: numpy.ndarray, batch_size: int
) -> numpy.ndarray:
    tf.config.experimental.enable_op_determinism()
    while True:
        try:
            return _predict_all(compiled.compile(batch_size), images, indices, batch_size)
        except tf.errors.OpError as error:
            # In this process also where a GPU's library failed: there is no state to lose, and a
            # library that is broken raises again.
            if not micro_batches.is_out_of_memory(error, is_single=True):
                raise
            if batch_size == 1:
                raise OutOfMemoryError(
                    "out of memory with one image at a time"
                    f" ({micro_batches.extract_reason(error)}); stop other programs on the device"
                ) from None
            batch_size = -(-batch_size // 2)
            terminal.note(f"out of memory; predicting again in batches of {batch_size}")


def _predict_all(
    compiled: CompiledModel | LiteRTModel,
    images: ImageReader,
    indices: numpy.ndarray,
    batch_size: int,
) -> numpy.ndarray:
    """Predict batch by batch, with one compiled function for all batches."""
    # The whole result at once: putting batches together would take twice the memory.
    outputs = numpy.empty((len(indices), *compiled.output_shape), compiled.output_dtype)
    starts = range(0, len(indices), batch_size)
    slices = [slice(start, start + batch_size) for start in starts]
    read = threads.map_parallel(
        lambda rows: images.read(indices[rows]), slices, READING_THREADS, BATCHES_AHEAD
    )
    with contextlib.closing(read), terminal.show_bar(len(indices), "predict", IMAGES) as advance:
        for rows, batch in zip(slices, read, strict=True):
            (outputs[rows],) = compiled.predict(batch)
            advance(len(batch))
    return outputs


def require_same_task(
    model_file: Path, geometry: Geometry, classes: list[str], fingerprint: str
) -> None:
    """Check that a model was trained on images of this geometry, these classes and this store.

    A model of another run may have the same shapes, but another order of classes; or it was trained
    on other images, which may be in this run's test split.

    Raises:
        DataError: it was not, or the file is missing or damaged.
    """
    described = read_description(model_file)
    properties: dict[str, tuple[object, object]] = {
        "input shape": (described.shape, geometry.shape),
        "resize policy": (described.resize, geometry.resize),
        "number of classes": (len(described.classes), len(classes)),
    }
    pairs = zip(described.classes, classes, strict=False)
    properties |= {f"class {number}": pair for number, pair in enumerate(pairs)}
    properties["data's fingerprint"] = (described.fingerprint, fingerprint)
    for name, (received, expected) in properties.items():
        if received != expected:
            raise DataError(
                f"{model_file} is the model of another run: its {name} is {received!r}, but this"
                f" run's is {expected!r}; {ADVICE}"
            )


def load_model(model_file: Path, shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Load a model, and check its input shape and its number of classes.

    Raises:
        DataError: the file is missing or damaged, or the model has other shapes.
        OutOfMemoryError: it does not fit the device.
    """
    file = DataFile(model_file, ADVICE)
    try:
        model = keras.models.load_model(model_file, compile=False)
    except MemoryError:
        raise
    except tf.errors.ResourceExhaustedError as error:
        raise OutOfMemoryError(
            f"out of memory while loading {model_file} ({micro_batches.extract_reason(error)});"
            " stop other programs on the device"
        ) from None
    except OSError as error:
        raise (
            file.make_read_error(error) if error.errno else file.make_damage_error(str(error))
        ) from None
    except Exception as error:  # for a damaged archive, Keras raises nearly anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise file.make_damage_error(lines[0] if lines else type(error).__name__) from None
    expected = ((None, *shape), (None, classes))
    shapes = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
    if shapes != expected:
        raise file.make_damage_error(
            f"it maps {shapes[0]} to {shapes[1]}, but this run's images and classes need"
            f" {expected[0]} to {expected[1]}"
        )
    return model
