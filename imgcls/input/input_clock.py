"""Measuring how long a device waits for its input, at some of the steps. Heavy zone.

Timing a step means waiting for the device, so only some are timed. The wait of one step says little
about the others: the first of an execution finds the buffers that filled up before, and a loader
that works in bursts lets only some steps wait. So an execution is divided into runs of up to
`PERIOD` steps, and of each run, one step is timed that is drawn at random, and stands for all of
them. The expected value of the estimate is then the sum over all steps, whatever the waits are.
"""

import time
from collections.abc import Callable

import numpy

from imgcls.backend import tf

PERIOD = 32
"""One step in so many is timed, which takes 0.3 ms."""


def weigh_steps(step: int, count: int) -> numpy.ndarray:
    """Return for how many steps each step of an execution stands, 0 if it is not timed.

    Args:
        step: the first one; the choice is a function of it and `count`.

    Returns:
        float64 (count,), with the sum `count`.
    """
    ends = numpy.linspace(0, count, -(-count // PERIOD) + 1).round().astype(int)
    sizes, weights = numpy.diff(ends), numpy.zeros(count)
    generator = numpy.random.Generator(numpy.random.Philox(key=step))
    weights[ends[:-1] + generator.integers(sizes)] = sizes
    return weights


class InputClock:
    """Adds up the estimated time that a device waits for its input.

    The host launches the work of a GPU ahead of time, and a control dependency on that work is met
    once it is launched. So the clock is read when a value that the device computed has arrived on
    the host. Three readings make a measurement: two after the result of the step before, and one
    after the batch. The wait is the second interval, less the first one, in which there was nothing
    to wait for: that is what copying a value and calling Python take, which would look like a wait
    of a tenth of a millisecond.

    Args:
        read: returns the time in seconds.
    """

    def __init__(self, read: Callable[[], float] = time.perf_counter):
        self._read = read
        self._times: list[float] = []
        self._seconds = 0.0

    def take_seconds(self) -> float:
        """Return the estimate since the last call; its noise can be below 0."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def start(self, weight: tf.Tensor, result: tf.Tensor) -> tf.Tensor:
        """Start a measurement when the step before is done.

        Args:
            weight: for how many steps this one stands, float64 scalar; nothing is done if it is 0.
            result: of the step before.

        Returns:
            A scalar that is there once the measurement started.
        """

        def read_twice() -> tf.Tensor:
            first = _call(self._append, result)
            with tf.control_dependencies([first]):
                return _call(self._append, result)

        return _call_if_timed(weight, read_twice)

    def stop(self, weight: tf.Tensor, elements: list[tf.Tensor]) -> tf.Tensor:
        """End a measurement when the batch is there.

        Args:
            weight: as for `start`.
            elements: one of each replica's batch, a scalar on its device.

        Returns:
            A scalar that is there once the measurement ended.
        """
        return _call_if_timed(weight, lambda: _call(self._add, weight, *elements))

    def _append(self, result: numpy.ndarray) -> numpy.float64:
        self._times.append(self._read())
        return numpy.float64(0)

    def _add(self, weight: numpy.float64, *elements: numpy.ndarray) -> numpy.float64:
        (first, second), third = self._times, self._read()
        self._times.clear()
        self._seconds += float(weight) * ((third - second) - (second - first))
        return numpy.float64(0)


def _call_if_timed(weight: tf.Tensor, call: Callable[[], tf.Tensor]) -> tf.Tensor:
    """Call a function of the host if a step is timed; return a float64 scalar."""
    with tf.device("CPU:0"):
        return tf.cond(weight > 0, call, lambda: tf.zeros([], tf.float64))


def _call(function: Callable[..., numpy.float64], *arguments: tf.Tensor) -> tf.Tensor:
    """Call a Python function; tf.timestamp would be faster, but refuses op determinism."""
    return tf.ensure_shape(tf.numpy_function(function, arguments, tf.float64), [])
