"""A model that is compiled for batches of one size. Heavy zone."""

import numpy

from imgcls.backend import keras, tf
from imgcls.environment import count_cores

READING_THREADS = 2
"""Threads that read batches while the device computes; each batch is divided among data workers."""
BATCHES_AHEAD = 3
"""Batches that are read, or being read, at a time."""


def count_threads() -> int:
    """Return the number of threads that runtimes use: that of TensorFlow in this process."""
    return tf.config.threading.get_intra_op_parallelism_threads() or count_cores()


class CompiledModel:
    """Predicts batches with one compiled function, so that all results come from one batch size.

    The result of an image does not depend on the pixels of the others in its batch; but its last
    bits can depend on its place there, in layers whose kernels compute some rows in another order.

    Args:
        model: from uint8 images (batch, height, width, channels) to one output or a list of them.
        batch_size: of the function; smaller batches are padded.

    Attributes:
        output_shape: of the first output, without the batch.
        output_dtype: of the first output.
    """

    def __init__(self, model: keras.Model, batch_size: int):
        self._batch_size = batch_size
        self._compiled = tf.function(
            lambda batch: tf.nest.flatten(model(batch, training=False)),
            input_signature=[tf.TensorSpec([batch_size, *model.input_shape[1:]], tf.uint8)],
        )
        output = self._compiled.get_concrete_function().outputs[0]
        self.output_shape: tuple[int, ...] = tuple(output.shape[1:])
        self.output_dtype = output.dtype.as_numpy_dtype

    def predict(self, images: numpy.ndarray) -> list[numpy.ndarray]:
        """Return the outputs for images, at most a batch; fewer are padded by repeating them."""
        count = len(images)
        if count < self._batch_size:
            images = images[numpy.resize(numpy.arange(count), self._batch_size)]
        return [output.numpy()[:count] for output in self._compiled(images)]
