"""Compiled steps as they would run on GPUs, looked at on a machine that has none.

TensorFlow's wheel for Linux registers its GPU kernels on every machine. Here, steps are traced for
devices `GPU:0`, `GPU:1`, ..., which TensorFlow replaces by the CPU only when it runs them; then
their functions are inlined and their loops lowered by TensorFlow itself, as for a run. Of each node
of the graph, the registry tells whether it has a kernel for its types, and which of its arguments
the kernel wants in host memory. An *edge* is a tensor that is made in one memory and used in
another: between a device and the host, it is a copy over the bus that the device or the host waits
for; between two devices, it is a copy as well.

    with gpu_graph.pretend_gpus():
        graph = gpu_graph.trace(experiment, replicas=2)
    graph.find_nodes_without_kernel()
    graph.count_edges()

What runs in tf.data is not part of a step: it is on the CPU.
"""

import collections
import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

from imgcls.config import Experiment

HOST = "host"


class Node(NamedTuple):
    """A node of a flat graph.

    Attributes:
        types: its type attributes, such as `T=float`.
        device: `GPU:0`, ..., or HOST if it is placed there or has no kernel.
        loops: names of the loops around it, from the outermost.
        has_kernel: on a GPU, for its types; True if it is placed on the host explicitly.
    """

    name: str
    op: str
    types: str
    device: str
    loops: tuple[str, ...]
    has_kernel: bool

    def __str__(self) -> str:
        return f"{self.op}({self.types})"


class Edge(NamedTuple):
    """A tensor that is made in one memory and used in another."""

    source: Node
    target: Node
    argument: str
    origin: str
    destination: str

    def __str__(self) -> str:
        return (
            f"{self.origin} -> {self.destination}: {self.source.name} {self.source} ->"
            f" {self.target.name} {self.target}, argument {self.argument}"
        )


@contextlib.contextmanager
def pretend_gpus() -> Iterator[None]:
    """Let variables name the device that they were created for, although it is not there.

    Mirrored strategies place updates by it.
    """
    from tensorflow.python.eager import context
    from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

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
) -> "Graph":
    """Return the graph of an experiment's compiled steps, as `Trainer` would compile them.

    Args:
        experiment: its data must be prepared.
        replicas: number of GPUs.
        split_name: `train` for the steps of training, `validation` for those of evaluation.
        streaming: whether images come from tf.data rather than from memory.
    """
    from imgcls.input.batches import SequentialBatches, ShuffledBatches, open_training_examples
    from imgcls.input.iterators import InMemoryIterator, StreamingIterator
    from imgcls.store.lookup import find_store
    from imgcls.training import build
    from imgcls.training.steps import Steps

    strategy = make_strategy(replicas)
    build.set_up_process(experiment)
    store, split = find_store(experiment)
    with strategy.scope():
        model = build.build_model(experiment, store, split)
        optimizer, *_ = build.build_optimizer(experiment, 100)
        optimizer.build(model.trainable_variables)
    examples, validation = open_training_examples(store, split, 1)
    if split_name == "train":
        batches = ShuffledBatches(examples, experiment, len(store.classes), replicas)
    else:
        batches = SequentialBatches(validation, experiment.train.batch_size)
    if streaming:
        stages = {"reading": 0.0, "augmentation": 0.0}
        iterator = StreamingIterator(batches, strategy, 0, stages)
    else:
        iterator = InMemoryIterator(batches, strategy)
    loss, jit_compile = build.build_loss(experiment), experiment.train.jit_compile
    steps = Steps(strategy, model, optimizer, loss, accumulation_steps, jit_compile)
    compile_steps = steps.compile_training if split_name == "train" else steps.compile_evaluation
    return Graph(compile_steps(iterator).get_concrete_function())


class Graph:
    """The flat graph of a concrete function.

    Attributes:
        nodes: by name, in an order in which each follows its inputs, but for loops.
    """

    def __init__(self, function: Any):
        definition = flatten(function)
        self._definitions = {node.name: node for node in definition.node}
        self._captures = _find_devices_of_captures(function)
        self.nodes: dict[str, Node] = {}
        for name in self._sort():
            self.nodes[name] = self._describe(self._definitions[name])

    def find_nodes_without_kernel(self) -> list[Node]:
        """Return the nodes that would run on the host because no GPU kernel has their types."""
        return [node for node in self.nodes.values() if not node.has_kernel]

    def find_ops(self, *ops: str) -> list[Node]:
        """Return the nodes of some operations."""
        return [node for node in self.nodes.values() if node.op in ops]

    def find_edges(self) -> list[Edge]:
        """Return one edge for each tensor and memory to which it is copied.

        Constants and what derives from them alone are left out: TensorFlow folds them.
        """
        edges: dict[tuple[str, str], Edge] = {}
        for target in self._definitions.values():
            for source, (argument, dtype) in _pair_inputs(target):
                edge = self._compare(source, target.name, argument)
                if edge and dtype not in _HANDLES and not self._is_constant(source):
                    edges.setdefault((source, edge.destination), edge)
        return list(edges.values())

    def count_edges(self) -> collections.Counter[str]:
        """Return the number of edges by direction, as `GPU -> host in a step`.

        Those outside all loops are copies per call of the function: `in a call`.
        """
        return collections.Counter(
            f"{edge.origin.split(':')[0]} -> {edge.destination.split(':')[0]}"
            f" in a {'step' if edge.source.loops and edge.target.loops else 'call'}"
            for edge in self.find_edges()
        )

    def _sort(self) -> Iterator[str]:
        """Yield the names of all nodes after those of their inputs, but for the ends of loops."""
        waiting = {
            name: {each for each in map(_node_of, node.input) if self._is_before(each, node)}
            for name, node in self._definitions.items()
        }
        users: dict[str, list[str]] = collections.defaultdict(list)
        for name, inputs in waiting.items():
            for each in inputs:
                users[each].append(name)
        ready = [name for name, inputs in waiting.items() if not inputs]
        while ready:
            name = ready.pop()
            yield name
            for user in users[name]:
                waiting[user].discard(name)
                if not waiting[user]:
                    ready.append(user)

    def _is_before(self, name: str, node: Any) -> bool:
        return not (node.op == "Merge" and self._definitions[name].op == "NextIteration")

    def _describe(self, node: Any) -> Node:
        host_arguments = find_kernel(node)
        has_kernel = host_arguments is not None
        device, wanted = HOST, self._find_device(node)
        if has_kernel and "CPU" not in wanted and not self._passes_on_from_host(node):
            device = wanted.split("device:")[-1] or "GPU:0"
        return Node(
            node.name,
            node.op,
            _describe_types(node),
            device,
            self._find_loops(node),
            has_kernel or "CPU" in node.device,
        )

    def _passes_on_from_host(self, node: Any) -> bool:
        """Return whether a node is an identity of a tensor on the host; TensorFlow removes them."""
        if node.op != "Identity" or _pair_inputs(node)[0][1][1] in _HANDLES:
            return False
        return self._find_memory(_data_inputs(node)[0]) == HOST

    def _find_memory(self, tensor: str) -> str:
        """Return where a tensor lies: a device or HOST."""
        name, _, number = tensor.partition(":")
        definition = self._definitions[name]
        output, _ = _list_arguments(definition, "output_arg")[int(number or 0)]
        in_host_memory = output in (find_kernel(definition) or ())
        return HOST if in_host_memory else self.nodes[name].device

    def _find_device(self, node: Any) -> str:
        """Return the device a node asks for, or that of the variable it uses, or an empty name."""
        if node.op == "Placeholder":
            return self._captures.get(node.name, "CPU:0")
        sources = [
            self.nodes[_node_of(source)]
            for source, (_, dtype) in _pair_inputs(node)
            if dtype == "resource" and _node_of(source) in self.nodes
        ]
        return node.device or next((f"device:{source.device}" for source in sources), "")

    def _find_loops(self, node: Any) -> tuple[str, ...]:
        inputs = [
            self.nodes[name].loops for name in map(_node_of, node.input) if name in self.nodes
        ]
        loops = max(inputs, key=len, default=())
        if node.op == "Enter":
            return (*loops, node.attr["frame_name"].s.decode())
        return loops[:-1] if node.op == "Exit" else loops

    def _compare(self, tensor: str, name: str, argument: str) -> Edge | None:
        """Return the edge along which a tensor goes to a node, if it lies in another memory."""
        source, target = self.nodes[_node_of(tensor)], self.nodes[name]
        in_host_memory = argument in (find_kernel(self._definitions[name]) or ())
        origin = self._find_memory(tensor)
        destination = HOST if in_host_memory else target.device
        if origin == destination:
            return None
        return Edge(source, target, argument, origin, destination)

    def _is_constant(self, tensor: str) -> bool:
        """Return whether a tensor derives from constants and static shapes alone."""
        node = self._definitions[_node_of(tensor)]
        if node.op in ("Const", "Shape", "ShapeN", "Size", "Rank"):
            return True
        if node.op in ("Merge", "Switch", "Placeholder") or self.nodes[node.name].op in _STATEFUL:
            return False
        inputs = _data_inputs(node)
        return bool(inputs) and all(map(self._is_constant, inputs))


_HANDLES = ("resource", "variant")
"""Types of tensors that are references: what they refer to stays where it is."""
_STATEFUL = ("ReadVariableOp", "VarHandleOp")


def flatten(function: Any) -> Any:
    """Return the graph of a concrete function, with functions inlined and loops lowered.

    Functions that XLA compiles stay as they are.
    """
    from tensorflow.python.framework import convert_to_constants

    return convert_to_constants._run_inline_graph_optimization(
        function, lower_control_flow=True, aggressive_inlining=True
    )


@functools.cache
def _get_kernels(op: str) -> list[Any]:
    from tensorflow.python.framework import kernels

    found = kernels.get_registered_kernels_for_op(op).kernel
    on_gpu = [kernel for kernel in found if kernel.device_type == "GPU" and not kernel.label]
    return on_gpu + [kernel for kernel in found if kernel.device_type == "DEFAULT"]


def find_kernel(node: Any) -> tuple[str, ...] | None:
    """Return the arguments that a node's GPU kernel has in host memory; None without a kernel.

    Args:
        node: a NodeDef.
    """
    if node.op == "Placeholder":  # the arguments of the function
        return ("output",) if _name_type(node.attr["dtype"].type) == "int32" else ()
    attributes = _get_attributes(node)
    for kernel in _get_kernels(node.op):
        if all(
            _allows(constraint, attributes.get(constraint.name)) for constraint in kernel.constraint
        ):
            return tuple(kernel.host_memory_arg)
    return None


def _allows(constraint: Any, value: Any) -> bool:
    allowed = constraint.allowed_values.list.type
    types = value.list.type if value.HasField("list") else [value.type]
    return not allowed or all(each in allowed for each in types)


def _get_attributes(node: Any) -> dict[str, Any]:
    """Return a node's attributes, with defaults."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    defaults = {
        each.name: each.default_value for each in definition.attr if each.HasField("default_value")
    }
    return {**defaults, **node.attr}


def _name_type(number: int) -> str:
    from imgcls.backend import tf

    return tf.as_dtype(number).name


def _describe_types(node: Any) -> str:
    found = {name: value for name, value in sorted(node.attr.items()) if value.type}
    return ", ".join(f"{name}={_name_type(value.type)}" for name, value in found.items())


def _list_arguments(node: Any, direction: str) -> list[tuple[str, str]]:
    """Return name and type of each input or output; those of a list have the same name."""
    from tensorflow.python.framework import op_def_registry

    attributes, found = _get_attributes(node), []
    for each in getattr(op_def_registry.get(node.op), direction):
        if each.type_list_attr:
            types = list(attributes[each.type_list_attr].list.type)
        else:
            dtype = each.type or attributes[each.type_attr].type
            types = [dtype] * (attributes[each.number_attr].i if each.number_attr else 1)
        found += [(each.name, _name_type(dtype)) for dtype in types]
    return found


def _pair_inputs(node: Any) -> list[tuple[str, tuple[str, str]]]:
    """Return the tensors that a node takes, each with name and type of its argument."""
    return list(zip(_data_inputs(node), _list_arguments(node, "input_arg"), strict=True))


def _data_inputs(node: Any) -> list[str]:
    return [each for each in node.input if not each.startswith("^")]


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _find_devices_of_captures(function: Any) -> dict[str, str]:
    """Return the device of each captured tensor, by the name of its placeholder.

    That of a variable is the one that it was created for; other tensors are made on the first GPU.
    """
    variables = {id(variable.handle): variable.device for variable in function.graph.variables}
    return {
        placeholder.name.partition(":")[0]: variables.get(id(tensor), "device:GPU:0")
        for tensor, placeholder in function.graph.captures
    }
