"""Where images lie, and where batches are gathered from them."""

import gpu_steps
import numpy
import pytest
from experiments import as_they_are, experiment

from imgcls.backend import tf
from imgcls.distributed.cluster import SINGLE_PROCESS
from imgcls.input import in_memory_iterator
from imgcls.input.batches import Examples, SequentialBatches, ShuffledBatches
from imgcls.input.in_memory_iterator import InMemoryIterator
from imgcls.input.iterators import choose_placement, make_iterator
from imgcls.strategies import mirrored
from imgcls.training import history


@pytest.mark.parametrize(
    ("on_gpus", "augmented", "fits", "crops_on_read", "placement"),
    [
        (False, False, True, False, "devices"),
        (False, True, True, False, "devices"),
        (True, False, True, False, "devices"),
        (True, True, True, False, "host"),
        *[(gpus, augmented, False, False, "store") for gpus in (0, 1) for augmented in (0, 1)],
        *[(gpus, True, fits, True, "store") for gpus in (0, 1) for fits in (0, 1)],
    ],
)
def test_images_are_taken_from(on_gpus, augmented, fits, crops_on_read, placement):
    assert (
        choose_placement(
            on_gpus=bool(on_gpus),
            augmented=bool(augmented),
            fits=bool(fits),
            crops_on_read=crops_on_read,
        )
        == placement
    )


@pytest.fixture
def examples():
    images = numpy.random.default_rng(0).integers(0, 256, (24, 4, 4, 1), numpy.uint8)
    return Examples(as_they_are(images), numpy.arange(24, dtype=numpy.int32), numpy.arange(24))


def make_mirrored():
    return mirrored.build(mirrored.Settings(name="mirrored", replicas=2), SINGLE_PROCESS)


def find_devices(iterator):
    """Return the device of each variable of each copy."""
    return [{variable.device for variable in vars(copy).values()} for copy in iterator._copies]


def test_each_replica_has_its_copy_of_the_images_on_its_own_device(examples):
    strategy = make_mirrored()
    iterator = InMemoryIterator(SequentialBatches(examples, 8), strategy)
    devices = strategy.extended.worker_devices
    assert len(set(devices)) == 2
    assert find_devices(iterator) == [{device} for device in devices]


def test_copies_that_do_not_name_their_device_would_be_noticed(examples, monkeypatch):
    make_copy = in_memory_iterator._DeviceCopy
    monkeypatch.setattr(
        in_memory_iterator, "_DeviceCopy", lambda device, *others: make_copy(None, *others)
    )
    strategy = make_mirrored()
    iterator = InMemoryIterator(SequentialBatches(examples, 8), strategy)
    first, _ = strategy.extended.worker_devices
    assert find_devices(iterator) == [{first}, {first}]


def test_each_replica_gathers_on_its_own_device(examples):
    from tensorflow.python.eager import context

    strategy = make_mirrored()
    iterator = InMemoryIterator(SequentialBatches(examples, 8), strategy)

    @tf.function(input_signature=[iterator.signature])
    def load(inputs):
        distributed = iterator.distribute_inputs(inputs)
        replica_inputs = iterator.make_replica_inputs(distributed, tf.constant(1), tf.constant(0.0))
        return strategy.run(iterator.make_local_batch, args=replica_inputs)

    context.enable_graph_collection()
    try:
        load(iterator.make_execution_inputs(0, 2))
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_graph_collection()
    gathers = [
        node.device
        for function in graphs
        for partition in function.partition_graphs
        for node in partition.node
        if node.op == "ResourceGather"
    ]
    devices = strategy.extended.worker_devices
    assert sorted(gathers) == sorted([*devices, *devices])


@pytest.mark.parametrize("replicas", [1, 2])
def test_on_gpus_a_step_gathers_without_the_host(digits, replicas):
    with gpu_steps.pretend_gpus():
        graph = gpu_steps.trace(digits("model.dropout=0"), replicas=replicas)
    gathers = graph.find_ops("ResourceGather")
    assert sorted(node.device for node in gathers) == [
        f"GPU:{replica}" for replica in range(replicas) for _ in ("images", "labels")
    ]
    assert all(node.has_kernel for node in gathers)
    crossing = {node.op for edge in graph.find_edges() for node in (edge.source, edge.target)}
    assert "ResourceGather" not in crossing


@pytest.mark.parametrize("placement", ["store", "host"])
@pytest.mark.parametrize(
    "augmentation", ["random_flip", "mixup, alpha: 1.0, probability: 1.0", "gaussian_noise"]
)
def test_what_tf_data_does_is_on_the_cpu(tmp_path, examples, augmentation, placement):
    """Of the second logical device, which a GPU would be, only the copies of batches are."""
    settings = experiment(tmp_path, "train.batch_size=8", f"augment=[{{name: {augmentation}}}]")
    batches = ShuffledBatches(examples, settings)
    strategy = tf.distribute.OneDeviceStrategy("CPU:1")
    stages = dict.fromkeys(history.STAGES, 0.0)
    iterator = make_iterator(placement, batches, strategy, 0, stages)
    stream, _ = iterator.make_execution_inputs(0, 0)
    assert {tensor.device[-5:] for tensor in next(stream)} == {"CPU:1"}
    del stream
    iterator.close()
    with tf.device("CPU:0"):
        dataset = iterator._make_dataset(tf.distribute.InputContext(1, 0, 1))
    while not dataset._functions():  # private, as the only way to the functions of a data set
        dataset = dataset._input_dataset
    (function,) = dataset._functions()
    operations = function.function.graph.get_operations()
    assert {each.device.partition("device:")[2] for each in operations} <= {"", "CPU:0"}
