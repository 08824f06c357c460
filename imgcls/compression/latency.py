"""Measures the latency of models, in turns. Heavy zone."""

import time
from collections.abc import Callable, Sequence

import numpy

from imgcls.backend import keras, tf

ROUNDS = 15
"""Rounds in each of which every model takes its turn, so that a busy machine slows all of them."""
BATCHES = (1, 64)
"""Sizes of the batches that are measured."""
_SECONDS = 0.01
"""What a turn lasts at least."""

Predict = Callable[[numpy.ndarray], object]


def compile_model(model: keras.Model) -> Predict:
    """Return a model as a compiled function, which waits for its result."""
    signature = [tf.TensorSpec(model.input_shape, tf.uint8)]
    function = tf.function(lambda images: model(images, training=False), input_signature=signature)
    return lambda images: function(images).numpy()


def measure(models: Sequence[Predict], shape: tuple[int, int, int]) -> list[list[float]]:
    """Return the latency of each model for each size of `BATCHES`, in milliseconds: the medians.

    Args:
        shape: height, width and channels of the images.
    """
    random = numpy.random.default_rng(0)
    by_batch = []
    for size in BATCHES:
        images = random.integers(0, 256, (size, *shape), numpy.uint8)
        by_batch.append(_measure_batch(models, images))
    return [list(each) for each in zip(*by_batch, strict=True)]


def _measure_batch(models: Sequence[Predict], images: numpy.ndarray) -> list[float]:
    calls = []
    for predict in models:
        predict(images)  # compiles, or allocates
        seconds = _time(predict, images, 3)
        calls.append(max(1, round(_SECONDS / seconds)))
    rounds = [
        [_time(predict, images, count) for predict, count in zip(models, calls, strict=True)]
        for _ in range(ROUNDS)
    ]
    return [1e3 * float(median) for median in numpy.median(rounds, axis=0)]


def _time(predict: Predict, images: numpy.ndarray, calls: int) -> float:
    """Return the seconds that a call takes, in the mean over several."""
    start = time.perf_counter()
    for _ in range(calls):
        predict(images)
    return (time.perf_counter() - start) / calls
