"""The graph of a compiled function as it would run on GPUs, looked at on a machine that has none.

TensorFlow's wheel for Linux registers its GPU kernels on every machine. A function traced for
devices `GPU:0`, `GPU:1`, ... (`gpu_steps` traces those of training) is inlined and its loops are
lowered by TensorFlow itself, as for a run. Of each node, the registry tells whether it has a kernel
for its types, and which of its arguments the kernel wants in host memory. An *edge* is a tensor
that is made in one memory and used in another: between a device and the host, it is a copy over the
bus that the device or the host waits for; between two devices, it is a copy as well.
"""

import collections
from collections.abc import Iterator
from typing import Any, NamedTuple

from node_definitions import (
    describe_types,
    find_kernel,
    get_node,
    list_arguments,
    list_inputs,
    pair_inputs,
)

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

    def get_attribute(self, node: Node, name: str) -> Any:
        """Return an attribute of a node, an AttrValue."""
        return self._definitions[node.name].attr[name]

    def find_edges(self) -> list[Edge]:
        """Return one edge for each tensor and memory to which it is copied.

        Constants and what derives from them alone are left out: TensorFlow folds them.
        """
        edges: dict[tuple[str, str], Edge] = {}
        for target in self._definitions.values():
            for source, (argument, dtype) in pair_inputs(target):
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
            name: {each for each in map(get_node, node.input) if self._is_before(each, node)}
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
            describe_types(node),
            device,
            self._find_loops(node),
            has_kernel or "CPU" in node.device,
        )

    def _passes_on_from_host(self, node: Any) -> bool:
        """Return whether a node is an identity of a tensor on the host; TensorFlow removes them."""
        if node.op != "Identity" or pair_inputs(node)[0][1][1] in _HANDLES:
            return False
        return self._find_memory(list_inputs(node)[0]) == HOST

    def _find_memory(self, tensor: str) -> str:
        """Return where a tensor lies: a device or HOST."""
        name, _, number = tensor.partition(":")
        definition = self._definitions[name]
        output, _ = list_arguments(definition, "output_arg")[int(number or 0)]
        in_host_memory = output in (find_kernel(definition) or ())
        return HOST if in_host_memory else self.nodes[name].device

    def _find_device(self, node: Any) -> str:
        """Return the device a node asks for, or that of the variable or the node it goes with.

        An identity goes with its input: TensorFlow removes them. TensorFlow numbers the batches of
        a stream by the replicas on whose devices they lie, which test_placement.py checks. Where
        the name is empty, TensorFlow takes the first GPU.
        """
        if node.op == "Placeholder":
            return self._captures.get(node.name, "CPU:0")
        if node.op == "IteratorGetNext":
            return f"device:GPU:{node.name.rpartition('IteratorGetNext')[2].strip('_') or 0}"
        sources = [
            source
            for source, (_, dtype) in pair_inputs(node)
            if dtype == "resource" or node.op == "Identity"
        ] + [each.decode().removeprefix("loc:@") for each in node.attr["_class"].list.s]
        known = [self.nodes[each] for each in map(get_node, sources) if each in self.nodes]
        return node.device or next((f"device:{each.device}" for each in known), "")

    def _find_loops(self, node: Any) -> tuple[str, ...]:
        inputs = [
            self.nodes[name].loops for name in map(get_node, node.input) if name in self.nodes
        ]
        loops = max(inputs, key=len, default=())
        if node.op == "Enter":
            return (*loops, node.attr["frame_name"].s.decode())
        return loops[:-1] if node.op == "Exit" else loops

    def _compare(self, tensor: str, name: str, argument: str) -> Edge | None:
        """Return the edge along which a tensor goes to a node, if it lies in another memory."""
        source, target = self.nodes[get_node(tensor)], self.nodes[name]
        in_host_memory = argument in (find_kernel(self._definitions[name]) or ())
        origin = self._find_memory(tensor)
        destination = HOST if in_host_memory else target.device
        if origin == destination:
            return None
        return Edge(source, target, argument, origin, destination)

    def _is_constant(self, tensor: str) -> bool:
        """Return whether a tensor derives from constants and static shapes alone."""
        node = self._definitions[get_node(tensor)]
        if node.op in ("Const", "Shape", "ShapeN", "Size", "Rank"):
            return True
        if node.op in ("Merge", "Switch", "Placeholder") or self.nodes[node.name].op in _STATEFUL:
            return False
        inputs = list_inputs(node)
        return bool(inputs) and all(map(self._is_constant, inputs))


_HANDLES = ("resource", "variant")
"""Types of tensors that are references: what they refer to stays where it is."""
_STATEFUL = ("ReadVariableOp", "VarHandleOp")


def flatten(function: Any) -> Any:
    """Return the graph of a concrete function, with functions inlined and loops lowered.

    Functions that XLA compiles stay as they are.
    """
    # TensorFlow has no public function that inlines a graph before it is run.
    from tensorflow.python.framework import convert_to_constants

    return convert_to_constants._run_inline_graph_optimization(
        function, lower_control_flow=True, aggressive_inlining=True
    )


def _find_devices_of_captures(function: Any) -> dict[str, str]:
    """Return the device of each captured tensor, by the name of its placeholder.

    That of a variable is the one that it was created for; other tensors are made on the first GPU.
    """
    variables = {id(variable.handle): variable.device for variable in function.graph.variables}
    return {
        placeholder.name.partition(":")[0]: variables.get(id(tensor), "device:GPU:0")
        for tensor, placeholder in function.graph.captures
    }
