"""Small models with random weights, and their traces, for the tests of pruning."""

import numpy
import small_models

from imgcls.training.model_file import make_plain_model

SIZE = (32, 32, 3)


def make_model(name):
    """Return a small model of Keras's own layers, with random weights."""
    model = make_plain_model(small_models.build(small_models.make_settings(name), SIZE))
    return randomize(model)


def randomize(model):
    """Assign weights of which none is 0, as after training; variances are positive."""
    random = numpy.random.default_rng(0)
    for variable in model.weights:
        values = random.normal(0, 0.3, variable.shape)
        is_scale = variable.name in ("gamma", "moving_variance", "variance")
        variable.assign(numpy.abs(values) + 0.5 if is_scale else values)
    return model


def find_groups(traced, name):
    """Return the groups of the output channels of a layer."""
    return next(use.outputs for use in traced.uses if use.name == name).tolist()
