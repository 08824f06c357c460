"""Each node of the compiled steps has a GPU kernel for its types, and few tensors cross the bus.

Nothing here runs on a GPU: `gpu_graph` looks the kernels up in TensorFlow's registry.
"""

import gpu_graph
import gpu_steps
import pytest


@pytest.fixture(autouse=True)
def pretended_gpus():
    """Let variables remember the GPUs that they were created for."""
    with gpu_steps.pretend_gpus():
        yield


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
