"""The estimated time that a device waits for its input, with a clock that the tests turn."""

from contextlib import closing

import gpu_graph
import numpy
import pytest
from experiments import as_they_are, experiment

from imgcls.backend import tf
from imgcls.distributed.cluster import SINGLE_PROCESS
from imgcls.input import input_clock
from imgcls.input.batches import Examples, SequentialBatches
from imgcls.input.input_clock import PERIOD, InputClock, weigh_steps
from imgcls.input.iterators import make_iterator
from imgcls.strategies import mirrored
from imgcls.training import history

READING = 0.0001
"""What reading the fake clock takes, in seconds."""


class FakeClock:
    """A clock that only moves when it is read or advanced."""

    def __init__(self):
        self.now = 0.0

    def read(self):
        self.now += READING
        return self.now

    def advance(self, seconds):
        """Return an operation that lets time pass."""

        def move(seconds):
            self.now += seconds
            return numpy.float64(self.now)

        return tf.ensure_shape(tf.numpy_function(move, [seconds], tf.float64), [])


@pytest.mark.parametrize("count", [1, 16, PERIOD, PERIOD + 1, 500])
def test_the_timed_steps_stand_for_all_steps(count):
    weights = weigh_steps(3, count)
    assert weights.sum() == count
    assert (weights > 0).sum() == -(-count // PERIOD)
    assert weights.max() <= PERIOD


def simulate_waits(loading, computing, buffered):
    """Return the seconds that each step waits for its batch.

    Args:
        loading: seconds that each batch takes the loader, which stops when the buffer is full.
        computing: seconds that each step takes the device.
        buffered: batches that the buffer holds; it is full at the start.
    """
    ready = numpy.zeros(len(loading))  # when each batch is in the buffer
    taken = numpy.zeros(len(loading))
    waits, now = numpy.zeros(len(loading)), 0.0
    for i in range(len(loading)):
        if i >= buffered:
            ready[i] = max(ready[i - 1], taken[i - buffered]) + loading[i]
        waits[i] = max(ready[i] - now, 0.0)
        taken[i] = now + waits[i]
        now = taken[i] + computing[i]
    return waits


LOADERS = {
    "slower than the device": numpy.full(400, 0.003),
    "faster than the device": numpy.full(400, 0.0005),
    "in bursts of eight": numpy.where(numpy.arange(400) % 8 == 0, 0.02, 0.0),
    "slow at the end": numpy.where(numpy.arange(400) < 300, 0.0005, 0.01),
}


@pytest.mark.parametrize("loading", LOADERS.values(), ids=LOADERS)
def test_the_expected_estimate_is_the_true_wait(loading):
    """Each execution of 400 steps begins with a full buffer, as after validation."""
    waits = simulate_waits(loading, numpy.full(400, 0.001), 10)
    estimates = [weigh_steps(step, 400) @ waits for step in range(4000)]
    assert numpy.mean(estimates) == pytest.approx(waits.sum(), rel=0.02, abs=1e-9)


def test_the_first_steps_alone_would_hide_a_slow_loader():
    waits = simulate_waits(LOADERS["slower than the device"], numpy.full(400, 0.001), 10)
    assert waits.sum() > 0.7
    assert waits[0] == 0


@pytest.fixture
def settings(tmp_path):
    return experiment(tmp_path, "train.batch_size=8")


def open_streaming_iterator(strategy):
    images = numpy.zeros((24, 4, 4, 1), numpy.uint8)
    examples = Examples(as_they_are(images), numpy.zeros(24, numpy.int32), numpy.arange(24))
    stages = dict.fromkeys(history.STAGES, 0.0)
    return closing(make_iterator("store", SequentialBatches(examples, 8), strategy, 0, stages))


def test_a_slow_loader_and_a_slow_device_are_told_apart():
    """Reading the clock takes time, too, which does not count as a wait."""
    clock = FakeClock()
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    waits = numpy.linspace(0.001, 0.02, 100)
    images, others = tf.zeros([8, 4, 4, 1], tf.uint8), tf.zeros([8])

    class Stream:
        """Lets each step wait, as the loader would."""

        def __init__(self, i):
            self.i = i

        def __next__(self):
            with tf.control_dependencies([clock.advance(tf.constant(waits)[self.i])]):
                return tf.identity(images), others, others

    @tf.function
    def run(weights):
        result = tf.zeros([], tf.float64)
        for i in tf.range(len(waits)):
            inputs = iterator.make_replica_inputs((Stream(i), weights), i, result)
            batch = iterator.make_local_batch(*inputs)
            with tf.control_dependencies(batch):
                result = clock.advance(tf.constant(0.03, tf.float64))
        return result

    weights = weigh_steps(7, len(waits))
    with open_streaming_iterator(strategy) as iterator:
        iterator._clock = InputClock(clock.read)
        run(tf.constant(weights))
        assert iterator.take_wait() == pytest.approx(weights @ waits, rel=1e-9)
        assert iterator.take_wait() == 0
    assert clock.now == pytest.approx(waits.sum() + 100 * 0.03 + 3 * 4 * READING)


def find_origins(iterator):
    """Return what the clock's readings depend on as data: the operations, sorted, of each one."""

    def run(inputs, count):
        result = tf.zeros([], tf.float64)
        distributed = iterator.distribute_inputs(inputs)
        for i in tf.range(count):
            inputs = iterator.make_replica_inputs(distributed, i, result)
            images, _, _ = iterator.make_local_batch(*inputs) if replicas == 1 else inputs[:3]
            locals_ = iterator._strategy.experimental_local_results(images)
            result = tf.add_n([tf.cast(tf.size(each), tf.float64) for each in locals_])
        return result

    replicas = iterator._strategy.num_replicas_in_sync
    signature = [iterator.signature, tf.TensorSpec([], tf.int32)]
    function = tf.function(run, input_signature=signature).get_concrete_function()
    nodes = {node.name: node for node in gpu_graph.flatten(function).node}

    def find_origin(tensor):
        node = nodes[tensor.partition(":")[0]]
        if node.op in ("Identity", "Switch", "StridedSlice"):
            return find_origin(node.input[0])
        return node.op

    return sorted(
        [
            find_origin(tensor)
            for tensor in node.input
            if not tensor.startswith("^") and find_origin(tensor) != "Enter"
        ]
        for node in nodes.values()
        if node.op == "PyFunc"
    )


def make_strategy(replicas):
    if replicas == 1:
        return tf.distribute.OneDeviceStrategy("CPU:0")
    return mirrored.build(mirrored.Settings(name="mirrored", replicas=replicas), SINGLE_PROCESS)


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_clock_is_read_when_results_and_batches_have_arrived_on_the_host(replicas):
    """A GPU meets a control dependency once its work is launched, and a data dependency when it is
    done. The result of the step before, and how many steps this one stands for, come from the
    loop's merges.
    """
    with open_streaming_iterator(make_strategy(replicas)) as iterator:
        origins = find_origins(iterator)
    assert origins == [["Merge"], ["Merge"], ["Merge", *["IteratorGetNext"] * replicas]]


def test_control_dependencies_alone_would_be_noticed(monkeypatch):
    call = input_clock._call

    def call_without_data(function, *arguments):
        with tf.control_dependencies(arguments):
            return call(lambda: function(*[0.0] * len(arguments)))

    monkeypatch.setattr(input_clock, "_call", call_without_data)
    with open_streaming_iterator(make_strategy(1)) as iterator:
        origins = find_origins(iterator)
    assert origins == [[], [], []]
