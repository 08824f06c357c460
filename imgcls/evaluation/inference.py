"""A saved model's probabilities. Heavy zone."""

from pathlib import Path

import numpy

from imgcls.backend import keras, tf
from imgcls.errors import DataError, OutOfMemoryError
from imgcls.io import terminal
from imgcls.io.records import DataFile
from imgcls.store.reader import Reader
from imgcls.training import micro_batches


def predict(
    model_file: Path, images: Reader, indices: numpy.ndarray, batch_size: int, classes: int
) -> numpy.ndarray:
    """Return float32 (len(indices), classes): the probabilities of some of the images, in the order
    of `indices`.

    Where a batch does not fit the device, all is predicted anew in batches of half the size: every
    number then comes from one size.

    Args:
        images: reads images of the store, a batch at a time.
        indices: int64, images of the store.

    Raises:
        DataError: the model file is missing, damaged, or of other images or classes.
        OutOfMemoryError: not even one image fits the device.
    """
    tf.config.experimental.enable_op_determinism()
    model = _load_model(model_file, images.geometry.shape, classes)
    while True:
        try:
            return _predict_all(model, images, indices, batch_size)
        except tf.errors.ResourceExhaustedError as error:
            if batch_size == 1:
                raise OutOfMemoryError(
                    "out of memory with one image at a time"
                    f" ({micro_batches.extract_reason(error)}); stop other programs on the device"
                ) from None
            batch_size = -(-batch_size // 2)
            terminal.note(f"out of memory; predicting again in batches of {batch_size}")


def _predict_all(
    model: keras.Model, images: Reader, indices: numpy.ndarray, batch_size: int
) -> numpy.ndarray:
    """Predict batch by batch; all have the same size, the last one filled up with its own images,
    so that nothing is compiled twice.
    """
    compiled = tf.function(
        lambda batch: model(batch, training=False),
        input_signature=[tf.TensorSpec([batch_size, *images.geometry.shape], tf.uint8)],
    )
    starts = range(0, len(indices), batch_size)
    parts = [
        _predict_batch(compiled, images, indices[start : start + batch_size], batch_size)
        for start in terminal.track(starts, len(starts), "predict")
    ]
    return numpy.concatenate(parts)


def _load_model(model_file: Path, shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return a model of images of a shape, with so many classes."""
    file = DataFile(
        model_file, "remove it, and run the training command again, which writes it anew"
    )
    try:
        file.require_regular()
        model = keras.models.load_model(model_file, compile=False)
    except (DataError, MemoryError):
        raise
    except tf.errors.ResourceExhaustedError as error:
        raise OutOfMemoryError(
            f"out of memory while {model_file} was loaded ({micro_batches.extract_reason(error)});"
            " stop other programs on the device"
        ) from None
    except OSError as error:
        raise (
            file.make_read_error(error) if error.errno else file.make_damage_error(str(error))
        ) from None
    except Exception as error:  # of an archive with anything in it, Keras raises nearly anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise file.make_damage_error(lines[0] if lines else type(error).__name__) from None
    expected = ((None, *shape), (None, classes))
    found = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
    if found != expected:
        raise file.make_damage_error(
            f"it maps {found[0]} to {found[1]}, but this run's images and classes need"
            f" {expected[0]} to {expected[1]}"
        )
    return model


def _predict_batch(
    compiled: "tf.types.experimental.PolymorphicFunction",
    images: Reader,
    chosen: numpy.ndarray,
    batch_size: int,
) -> numpy.ndarray:
    filled = numpy.resize(chosen, batch_size) if len(chosen) < batch_size else chosen
    return compiled(images.read(filled)).numpy()[: len(chosen)].astype(numpy.float32)
