"""Networks with weights that are made by hand, so that what they depend on is known."""

import numpy

from imgcls import parts
from imgcls.backend import keras
from imgcls.explainers import Target
from imgcls.explanation.network import Network


def make_network(outputs, images, batch_size=5, temperature=1.0):
    """Return the network of symbolic logits of symbolic images."""
    return Network(keras.Model(images, outputs), temperature, batch_size)


def make_linear(shape=(5, 6, 3), classes=3, seed=0):
    """Return a network whose logits are sums of weighted pixels, and the weights, (height, width,
    channels, classes).
    """
    images = keras.Input(shape, dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    dense = keras.layers.Dense(classes)
    network = make_network(dense(flat), images)
    weights = numpy.random.default_rng(seed).normal(size=(*shape, classes)).astype(numpy.float32)
    dense.set_weights([weights.reshape(-1, classes), numpy.float32([0.5] * classes)])
    return network, weights / 255


def make_smooth(shape=(9, 8, 3), classes=4):
    """Return a convolutional network without kinks, with random weights."""
    images = keras.Input(shape, dtype="uint8")
    pixels = keras.layers.Rescaling(1 / 64)(images)
    wide = keras.initializers.RandomNormal(stddev=0.3, seed=0)
    first = keras.layers.Conv2D(6, 3, activation="gelu", name="first", kernel_initializer=wide)
    second = keras.layers.Conv2D(6, 3, activation="tanh", name="second", kernel_initializer=wide)
    pooled = keras.layers.GlobalAveragePooling2D()(second(first(pixels)))
    wide = keras.initializers.RandomNormal(stddev=2.0, seed=1)
    logits = keras.layers.Dense(classes, kernel_initializer=wide)(pooled)
    return make_network(logits, images)


def make_detector(size=(24, 20)):
    """Return a network that finds a bright square of 4x4 pixels, wherever it is: its kernel is
    positive in the square, and negative around it.
    """
    images = keras.Input((*size, 1), dtype="uint8")
    pixels = keras.layers.Rescaling(1 / 255)(images)
    convolution = keras.layers.Conv2D(1, 6, padding="same", activation="relu", name="square")
    pooled = keras.layers.GlobalMaxPooling2D()(convolution(pixels))
    dense = keras.layers.Dense(2)
    network = make_network(dense(pooled), images)
    kernel = numpy.full((6, 6, 1, 1), -1.0)
    kernel[1:5, 1:5] = 1.0
    convolution.set_weights([kernel, numpy.float32([-2.0])])
    dense.set_weights([numpy.float32([[0, 1]]), numpy.float32([5, 0])])
    return network


def plant_square(size=(24, 20), top=12, left=3):
    """Return a noisy image with a bright square, and a mask of the square and its rim."""
    pixels = numpy.random.default_rng(0).integers(0, 60, (*size, 1)).astype(numpy.float32)
    pixels[top : top + 4, left : left + 4] = 250
    mask = numpy.zeros(size, bool)
    mask[top - 1 : top + 5, left - 1 : left + 5] = True
    return pixels, mask


def make_target(pixels, label=1, baseline=0.0, seed=0):
    """Return an image to explain, with a baseline of one value."""
    pixels = numpy.asarray(pixels, numpy.float32)
    return Target(pixels, numpy.full_like(pixels, baseline), label, seed)


def random_pixels(network, seed=1):
    """Return random pixels of a network's shape, float32."""
    random = numpy.random.default_rng(seed)
    return random.integers(0, 256, network.shape).astype(numpy.float32)


def explain(network, target, method, **settings):
    """Return the map of a method."""
    part = parts.load("explainers", method)
    return part.explain(part.Settings(name=method, **settings), network, target)
