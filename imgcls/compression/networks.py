"""The network within a run's model. Heavy zone."""

import numpy

from imgcls.backend import keras
from imgcls.compression.record import NetworkSize
from imgcls.evaluation import inference
from imgcls.models import _cost
from imgcls.run import Run

TEMPERATURE = "temperature"
"""The layer of model.keras that follows the logits."""


def load_logits(run: Run) -> keras.Model:
    """Return the network of a run's model.keras, from uint8 images to logits.

    Raises:
        DataError: the file is missing or damaged.
        OutOfMemoryError: the model does not fit the device.
    """
    data = run.data
    model = inference.load_model(run.model_file, data.shape, len(data.classes))
    return keras.Model(model.inputs[0], model.get_layer(TEMPERATURE).input)


def count_network(network: keras.Model) -> NetworkSize:
    """Count the weights and the multiply-adds of a network from images to logits."""
    return NetworkSize(
        parameters=network.count_params(), multiply_adds=_cost.measure(network).multiply_adds
    )


def measure_logits(logits: numpy.ndarray, labels: numpy.ndarray) -> tuple[float, float]:
    """Return the mean cross-entropy in nats, and the accuracy.

    Args:
        logits: (images, classes), at least one image.
        labels: true class numbers, integers (images,).
    """
    margins = logits.astype(numpy.float64)
    margins -= margins.max(axis=1, keepdims=True)
    true = margins[numpy.arange(len(labels)), labels]
    loss = float((numpy.log(numpy.exp(margins).sum(axis=1)) - true).mean())
    return loss, float((logits.argmax(axis=1) == labels).mean())
