"""Each node of the compiled steps has a GPU kernel for its types, and few tensors cross the bus.

Nothing here runs on a GPU: `gpu_graph` looks the kernels up in TensorFlow's registry.
"""

import itertools
import json
from typing import get_args

import gpu_graph
import gpu_steps
import numpy
import pytest
import small_models
from covered_pairs import cover_pairs
from experiments import TINY, write_experiment

from imgcls import parts
from imgcls.experiment_file import read_experiment
from imgcls.train_config import Precision
from imgcls.verbs.prepare import prepare


@pytest.fixture(autouse=True)
def pretended_gpus():
    """Let variables remember the GPUs that they were created for."""
    with gpu_steps.pretend_gpus():
        yield


@pytest.fixture(scope="module")
def color_images(tmp_path_factory):
    """Return the tiny experiment on prepared noise in color, with overrides."""
    folder = tmp_path_factory.mktemp("color")
    images = numpy.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), numpy.uint8)
    numpy.savez(folder / "noise.npz", images=images, labels=numpy.arange(300) % 3)
    data = {"name": "arrays", "path": str(folder / "noise.npz"), "store_dir": str(folder / "data")}
    content = {**TINY, "data": data}
    prepare(read_experiment(write_experiment(folder, content)))
    return lambda *overrides: read_experiment(write_experiment(folder, content), list(overrides))


def graph_of(function, *types):
    """Return the graph of a function of tensors with 4 elements, traced for a GPU."""
    from imgcls.backend import tf

    def on_gpu(*arguments):
        with tf.device("GPU:0"):
            return function(*arguments)

    signature = [tf.TensorSpec([4], dtype) for dtype in types]
    return gpu_graph.Graph(tf.function(on_gpu, input_signature=signature).get_concrete_function())


def test_a_node_without_a_gpu_kernel_is_found():
    from imgcls.backend import tf

    graph = graph_of(lambda images, labels: tf.gather(images, labels), "uint8", "int64")
    assert [node.op for node in graph.find_nodes_without_kernel()] == ["GatherV2"]
    graph = graph_of(lambda images, labels: tf.gather(images, labels), "float32", "int64")
    assert graph.find_nodes_without_kernel() == []


def test_a_tensor_of_a_device_that_the_host_needs_is_an_edge():
    """The GPU kernel of an addition in int32 has its arguments and result in host memory."""
    from imgcls.backend import tf

    def count(numbers):
        largest = tf.argmax(tf.exp(numbers), output_type=tf.int32)  # made on the device
        return tf.cast(largest + largest, tf.float32)

    assert graph_of(count, "float32").count_edges() == {
        "host -> GPU in a call": 2,  # the argument of the function, and the sum
        "GPU -> host in a call": 1,
    }


def test_edges_in_loops_are_counted_apart():
    from imgcls.backend import tf

    def loop(numbers):
        for _ in tf.range(tf.size(numbers)):
            if tf.reduce_max(numbers) > 3.0:
                numbers += 1.0
        return numbers

    assert graph_of(tf.autograph.to_graph(loop), "float32").count_edges() == {
        "host -> GPU in a call": 1,
        "GPU -> host in a step": 1,
    }


DIMENSIONS = {
    "precision": [f"train.precision={each}" for each in get_args(Precision)],
    "optimizer": [f"train.optimizer={{name: {each}}}" for each in parts.list_names("optimizers")],
    "schedule": [f"train.schedule={{name: {each}}}" for each in parts.list_names("schedules")],
    "loss": [f"train.loss={{name: {each}}}" for each in parts.list_names("losses")],
    "class_weights": ["", "train.class_weights=balanced"],
    "clipping": ["", "train.global_clipnorm=1.0"],
    "layer_decay": ["", "train.layer_decay=0.5"],
    "smoothing": ["", "train.loss.label_smoothing=0.1"],
    "ema": ["", "train.ema={decay: 0.9}"],
    "batch_norm": ["", "model.batch_norm=true"],
    "pooling": ["", "model.pooling=1", "model.activation=gelu"],
    "augment": ["", "augment=[{name: mixup}]"],
    "split_name": ["train", "validation"],
    "streaming": [False, True],
    "replicas": [1, 2],
    "accumulation_steps": [1, 2],
}
"""What a step depends on: settings of the cnn, and arguments of `gpu_steps.trace`. Of the
strategies, one_device has one replica, and mirrored two. The replicas of multi_worker trace the
same, but not without other workers.
"""
EMA = DIMENSIONS["ema"][1]
AVERAGING = [
    setting
    for setting, name in zip(DIMENSIONS["optimizer"], parts.list_names("optimizers"), strict=True)
    if parts.load("optimizers", name).Settings.averages_weights
]
"""Optimizers that average the weights themselves, with which EMA is an error."""
ARGUMENTS = ("split_name", "streaming", "replicas", "accumulation_steps")


def is_error(*values):
    """Return whether an experiment with two values is an error."""
    return EMA in values and any(setting in values for setting in AVERAGING)


PAIRS = cover_pairs(DIMENSIONS, is_error)


def describe(case):
    """Return what differs from the first value of each dimension."""
    changed = [f"{name}={case[name]}" for name in case if case[name] != DIMENSIONS[name][0]]
    return " ".join(changed) or "defaults"


def test_each_pair_of_values_is_in_a_case():
    for one, other in itertools.combinations(DIMENSIONS, 2):
        found = {(case[one], case[other]) for case in PAIRS}
        product = itertools.product(DIMENSIONS[one], DIMENSIONS[other])
        assert found == {pair for pair in product if not is_error(*pair)}


def test_the_strategies_are_those_that_are_traced():
    assert parts.list_names("strategies") == ["mirrored", "multi_worker", "one_device"]


def count_expected_edges(case):
    """Return the budget: the number of tensors that a step copies, by direction.

    - To a GPU: the step, from which dropout draws; and the first row of each micro-batch, unless
      their loop is unrolled, as it is with several replicas.
    - To the host: whether the gradients overflow, and whether the loss scale grows; and of a few
      steps of a stream, a number after the step before and one of each batch, for the clock.
    - Between GPUs: sums, optimizer's iterations, learning rate, mean and std of the pixels, and
      the loss scale: one number each.
    """
    replicas, training = case["replicas"], case["split_name"] == "train"
    scaled = training and "mixed_float16" in case["precision"]
    streaming = case["streaming"] or (training and case["augment"])
    numbers = case["accumulation_steps"]  # 1 or 2
    to_host = (replicas + 1) * scaled + (replicas + 1) * bool(streaming)
    edges = {
        "host -> GPU": (numbers if replicas == 1 else replicas) * training,
        "GPU -> host": to_host,
        "GPU -> GPU": (replicas - 1) * (3 + 2 * training + scaled),
    }
    return {f"{direction} in a step": count for direction, count in edges.items() if count}


def check(graph, case):
    """Check the kernels of a graph, and its edges inside the loop over steps."""
    assert list(map(str, graph.find_nodes_without_kernel())) == []
    assert list(map(str, gpu_steps.find_denied(graph))) == []
    per_step = {name: count for name, count in graph.count_edges().items() if "step" in name}
    assert per_step == count_expected_edges(case), "\n".join(map(str, graph.find_edges()))


def trace_case(digits, case):
    """Return the graph of a case of `DIMENSIONS`."""
    settings = digits(*[case[name] for name in DIMENSIONS if name not in ARGUMENTS and case[name]])
    return gpu_steps.trace(settings, **{name: case[name] for name in ARGUMENTS})


@pytest.mark.parametrize("case", PAIRS, ids=describe)
def test_each_node_of_a_step_has_a_kernel_and_no_more_tensors_are_copied(digits, case):
    check(trace_case(digits, case), case)


@pytest.mark.parametrize(
    ("precision", "replicas"), [("float32", 1), ("mixed_float16", 2)], ids=["one", "two"]
)
@pytest.mark.parametrize(
    "trace", [gpu_steps.trace_batch_norm_statistics, gpu_steps.trace_mode_comparison]
)
def test_each_node_of_the_end_of_an_epoch_has_a_kernel(digits, trace, precision, replicas):
    settings = digits("model.batch_norm=true", f"train.precision={precision}")
    graph = trace(settings, replicas=replicas, accumulation_steps=2)
    assert list(map(str, graph.find_nodes_without_kernel())) == []
    assert list(map(str, gpu_steps.find_denied(graph))) == []


SIMPLEST = {name: values[0] for name, values in DIMENSIONS.items()}
STRUCTURE = ("batch_norm", *ARGUMENTS)
"""What, with the precision and the optimizer, changes the graph around the layers. The product of
all dimensions would take days; the others add their own nodes, whatever these are.
"""


@pytest.mark.full
@pytest.mark.parametrize("optimizer", DIMENSIONS["optimizer"])
@pytest.mark.parametrize("precision", DIMENSIONS["precision"])
def test_each_node_of_the_steps_of_all_structures_has_a_kernel(digits, precision, optimizer):
    for values in itertools.product(*[DIMENSIONS[name] for name in STRUCTURE]):
        case = SIMPLEST | {"precision": precision, "optimizer": optimizer}
        case |= dict(zip(STRUCTURE, values, strict=True))
        check(trace_case(digits, case), case)


@pytest.mark.parametrize("name", parts.list_names("augmentations"))
def test_augmentations_add_nothing_to_a_step(color_images, name):
    """They run in tf.data, on the CPU; a step gets mixed targets, and no more."""
    case = {**SIMPLEST, "augment": f"augment=[{{name: {name}}}]"}
    check(trace_case(color_images, case), case)


def check_model(color_images, name, *overrides, split_name="train"):
    """Check the kernels of a step of a small model."""
    settings = color_images(f"model={json.dumps(small_models.shrink(name))}", *overrides)
    graph = gpu_steps.trace(settings, split_name=split_name)
    assert graph.find_nodes_without_kernel() == gpu_steps.find_denied(graph) == []


@pytest.mark.parametrize("name", small_models.EACH)
def test_each_model_has_kernels_for_training(color_images, name):
    check_model(color_images, name)


@pytest.mark.parametrize("name", small_models.MARKED)
def test_each_model_has_kernels_for_validation(color_images, name):
    check_model(color_images, name, split_name="validation")


@pytest.mark.full
@pytest.mark.parametrize("name", small_models.EACH)
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_each_model_has_kernels_in_each_precision(color_images, name, precision):
    check_model(color_images, name, f"train.precision={precision}")


def test_an_edge_that_is_added_to_a_step_exceeds_the_budget(digits, monkeypatch):
    from imgcls.backend import tf
    from imgcls.training import step_sums

    compute = step_sums.compute

    def compute_through_the_host(losses, logits, labels, weights):
        largest = tf.argmax(logits, axis=-1, output_type=tf.int32)
        wrong = tf.cast(tf.reduce_sum(largest + largest), losses.dtype)
        return compute(losses + 0 * wrong, logits, labels, weights)

    monkeypatch.setattr(step_sums, "compute", compute_through_the_host)
    with pytest.raises(AssertionError, match="GPU:0 -> host"):
        check(trace_case(digits, SIMPLEST), SIMPLEST)


@pytest.mark.parametrize(
    ("op", "types"), [("AdjustContrastv2", ("float32",)), ("FusedBatchNormGradV3", ("float32",))]
)
def test_denied_nodes_are_found(op, types):
    from imgcls.backend import tf

    def adjust(numbers):
        images = tf.reshape(numbers, [1, 2, 2, 1])
        if op == "AdjustContrastv2":
            return tf.image.adjust_contrast(images, 2.0)
        ones = tf.ones([1])
        return tf.gradients(
            tf.compat.v1.nn.fused_batch_norm(images, ones, ones, ones, ones, is_training=False)[0],
            images,
        )

    assert [node.op for node in gpu_steps.find_denied(graph_of(adjust, *types))] == [op]
