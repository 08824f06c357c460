"""The layers of networks of keras.applications that others do not have run on GPUs too."""

import gpu_steps
import numpy
import pytest
from experiments import TINY, write_experiment

from imgcls.experiment_file import read_experiment
from imgcls.verbs.prepare import prepare

CASES = {
    "MobileNetV3Small": 1,  # repeats the channel
    "VGG16": 3,  # reverses the channels
    "EfficientNetV2B0": 3,  # drops whole images
    "ConvNeXtTiny": 3,  # scales layers, and has models in models
}
"""Applications, each with the channels of the images."""


@pytest.mark.full
@pytest.mark.parametrize(("application", "channels"), CASES.items())
def test_applications_have_kernels(workspace, application, channels):
    shape = (300, 32, 32, channels)
    images = numpy.random.default_rng(0).integers(0, 256, shape, numpy.uint8)
    numpy.savez("noise.npz", images=images, labels=numpy.arange(300) % 3)
    content = {
        **TINY,
        "data": {"name": "arrays", "path": "noise.npz"},
        "model": {"name": "keras_application", "application": application},
    }
    settings = read_experiment(write_experiment(workspace, content))
    prepare(settings)
    with gpu_steps.pretend_gpus():
        graph = gpu_steps.trace(settings)
    assert graph.find_nodes_without_kernel() == gpu_steps.find_denied(graph) == []
