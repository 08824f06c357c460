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
    from imgcls.input.batches import SequentialBatches, ShuffledBatches, open_training_examples
    from imgcls.input.iterators import find_placement, make_iterator
    from imgcls.store.lookup import find_store
    from imgcls.training import build
    from imgcls.training.class_weights import compute_class_weights
    from imgcls.training.learning_rate_factors import compute_factors
    from imgcls.training.steps import Steps

    strategy = make_strategy(replicas)
    build.set_up_process(experiment)
    store, split = find_store(experiment)
    with strategy.scope():
        model = build.build_model(experiment, store, split)
        optimizer, learning_rate = build.build_optimizer(experiment)
        optimizer.build(model.trainable_variables)
    build.get_inner_optimizer(optimizer).set_learning_rate_factors(
        compute_factors(experiment.train, model)
    )
    examples, validation = open_training_examples(store, split, 1)
    if split_name == "train":
        batches = ShuffledBatches(examples, experiment, len(store.classes), replicas)
    else:
        batches = SequentialBatches(validation, experiment.train.batch_size)
    stages = {"reading": 0.0, "augmentation": 0.0}
    placement = find_placement(batches, strategy, fits=not streaming)
    loss, jit_compile = build.build_loss(experiment), experiment.train.jit_compile
    weights = compute_class_weights(experiment.train, store.classes, store.labels[split.train])
    trained = model, optimizer, learning_rate, loss
    steps = Steps(strategy, *trained, accumulation_steps, jit_compile, weights)
    compile_steps = steps.compile_training if split_name == "train" else steps.compile_evaluation
    with contextlib.closing(make_iterator(placement, batches, strategy, 0, stages)) as iterator:
        return Graph(compile_steps(iterator).get_concrete_function())
