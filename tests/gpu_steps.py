"""Traces the compiled steps of experiments as for GPUs, on a machine that has none.

TensorFlow replaces a device that is not there by the CPU only when it runs a function.

    with gpu_steps.pretend_gpus():
        graph = gpu_steps.trace(experiment, replicas=2)
    graph.find_nodes_without_kernel()
    graph.count_edges()

What runs in tf.data is not part of a step: it is on the CPU.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from gpu_graph import Graph

from imgcls.config import Experiment


@contextlib.contextmanager
def pretend_gpus() -> Iterator[None]:
    """Let variables name the device that they were created for, although it is not there.

    Mirrored strategies place updates by it.
    """
    from tensorflow.python.eager import context
    from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

    from imgcls.backend import tf

    # TensorFlow's default depends on whether its first operation is in a function.
    tf.config.set_soft_device_placement(True)
    init, device = BaseResourceVariable.__init__, BaseResourceVariable.device

    @functools.wraps(init)
    def remember_device(self: Any, *arguments: Any, **settings: Any) -> None:
        self.wanted_device = context.context().device_name or ""
        init(self, *arguments, **settings)

    BaseResourceVariable.__init__ = remember_device
    BaseResourceVariable.device = property(
        lambda self: getattr(self, "wanted_device", "") or device.fget(self)
    )
    try:
        yield
    finally:
        BaseResourceVariable.__init__, BaseResourceVariable.device = init, device


def make_strategy(replicas: int = 1) -> Any:
    """Return a strategy of one GPU, or a mirrored one of several."""
    from imgcls.backend import tf

    if replicas == 1:
        return tf.distribute.OneDeviceStrategy("GPU:0")
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(replicas)])


@contextlib.contextmanager
def _open_training(
    experiment: Experiment,
    replicas: int,
    accumulation_steps: int,
    split_name: str = "train",
    streaming: bool = False,
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield a `ReplicatedModel` on GPUs, batches, and an iterator over them; see `trace`."""
    from imgcls.input.batches import SequentialBatches, ShuffledBatches, open_training_examples
    from imgcls.input.iterators import find_placement, make_iterator
    from imgcls.store.lookup import find_store
    from imgcls.training import build
    from imgcls.training.replicated_model import ReplicatedModel

    strategy = make_strategy(replicas)
    build.set_up_process(experiment)
    store, split = find_store(experiment)
    replicated = ReplicatedModel(experiment, store, split, strategy)
    replicated.compile_steps(accumulation_steps)
    examples, validation = open_training_examples(store, split, 1)
    if split_name == "train":
        batches = ShuffledBatches(examples, experiment, len(store.classes), replicas)
    else:
        batches = SequentialBatches(validation, experiment.train.batch_size)
    stages = {"reading": 0.0, "augmentation": 0.0}
    placement = find_placement(batches, strategy, fits=not streaming)
    with contextlib.closing(make_iterator(placement, batches, strategy, 0, stages)) as iterator:
        yield replicated, batches, iterator


def trace(
    experiment: Experiment,
    *,
    replicas: int = 1,
    split_name: str = "train",
    streaming: bool = False,
    accumulation_steps: int = 1,
) -> Graph:
    """Return the graph of an experiment's compiled steps, as `Trainer` would compile them.

    Args:
        experiment: its data must be prepared.
        replicas: number of GPUs.
        split_name: `train` for the steps of training, `validation` for those of evaluation.
        streaming: whether the images do not fit into memory.
    """
    arguments = replicas, accumulation_steps, split_name, streaming
    with _open_training(experiment, *arguments) as (replicated, _, iterator):
        steps = replicated.steps
        compiling = steps.compile_training if split_name == "train" else steps.compile_evaluation
        return Graph(compiling(iterator).get_concrete_function())


def trace_batch_norm_statistics(
    experiment: Experiment, *, replicas: int, accumulation_steps: int
) -> Graph:
    """Return the graph that estimates the statistics of `train.precise_batch_norm`."""
    with _open_training(experiment, replicas, accumulation_steps) as (replicated, _, iterator):
        statistics = replicated.batch_norm_statistics
        function = statistics._executions.compile(
            statistics._sum_moments, iterator, statistics._entries
        )
        return Graph(function.get_concrete_function())


def trace_mode_comparison(
    experiment: Experiment, *, replicas: int, accumulation_steps: int
) -> Graph:
    """Return the graph of the losses of a batch in training mode and in evaluation mode."""
    from imgcls.backend import tf
    from imgcls.training.mode_comparison import ModeComparison

    with _open_training(experiment, replicas, accumulation_steps) as (replicated, batches, _):
        comparison = ModeComparison(replicated._strategy, replicated, experiment, batches)
        function = tf.function(comparison._compute, autograph=False)
        inputs = tf.constant(0), *comparison._batch, accumulation_steps
        return Graph(function.get_concrete_function(*inputs))


DENIED = {
    "AdjustContrast": "differs from run to run",
    "AdjustContrastv2": "differs from run to run",
    "Bincount": "is refused by op determinism",
    "CropAndResizeGradBoxes": "is refused by op determinism",
    "CropAndResizeGradImage": "is refused by op determinism",
    "Dilation2DBackpropFilter": "is refused by op determinism",
    "Dilation2DBackpropInput": "is refused by op determinism",
    "FakeQuantWithMinMaxVarsGradient": "is refused by op determinism",
    "FakeQuantWithMinMaxVarsPerChannelGradient": "is refused by op determinism",
    "MaxPoolGradWithArgmax": "adds in any order",
    "RandomUniform": "has a state, which no checkpoint holds",
    "ResizeNearestNeighborGrad": "is refused by op determinism",
    "SoftmaxCrossEntropyWithLogits": "is refused by op determinism",
    "SparseSoftmaxCrossEntropyWithLogits": "is refused by op determinism",
    "SparseTensorDenseMatMul": "is refused by op determinism",
    "Timestamp": "is refused by op determinism",
}
"""Operations that no step may have, with the reason."""


def find_denied(graph):
    """Return the nodes of a graph whose results could differ from run to run on a GPU."""
    frozen = [
        node
        for node in graph.find_ops("FusedBatchNormGrad", "FusedBatchNormGradV3")
        if not graph.get_attribute(node, "is_training").b
    ]
    return [*graph.find_ops(*DENIED), *frozen]
