"""Traces the channels of a network through its layers. Heavy zone."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy

from imgcls.backend import keras
from imgcls.pruning import rules
from imgcls.pruning.channels import Channels
from imgcls.pruning.graph import name_kind, walk
from imgcls.pruning.rules import Call, Traced


@dataclass(frozen=True)
class Use:
    """A call of a layer or operation, with the groups of its channels.

    Attributes:
        call: what was called, and with what.
        inputs: the group of each channel of the first input, int64 (channels,).
        outputs: the group of each channel of the first output, int64 (channels,).
        pixels: the number of positions of that output.
    """

    call: Call
    inputs: numpy.ndarray
    outputs: numpy.ndarray
    pixels: int

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.call.operation.name)


@dataclass(frozen=True)
class Trace:
    """The channels of a network.

    Attributes:
        uses: the calls, in the order of computation.
        size: groups are numbers below this.
        reasons: why groups are kept, by group; the others may be removed.
        unknown: the layers through which nothing is removed since their kind is not known, with
            the number of channels that enter them.
    """

    uses: list[Use]
    size: int
    reasons: dict[int, str]
    unknown: dict[str, int] = field(default_factory=dict)

    def keep_all(self) -> numpy.ndarray:
        """Return a mask of the groups that keeps all, bool (size,)."""
        return numpy.ones(self.size, bool)


class _Tracer:
    def __init__(self) -> None:
        self.channels = Channels()
        self.calls: list[tuple[Call, numpy.ndarray, numpy.ndarray]] = []
        self.unknown: Counter[str] = Counter()
        self._first: dict[int, tuple[numpy.ndarray, numpy.ndarray]] = {}

    def compute(self, operation: Any, *arguments: Any, **settings: Any) -> Any:
        """Trace a call, as `graph.walk` asks for it."""
        flat = keras.tree.flatten((arguments, settings))
        inputs = [each for each in flat if isinstance(each, Traced)]
        plain, named = keras.tree.map_structure(_unwrap, (arguments, settings))
        specs = operation.compute_output_spec(*plain, **named)
        outputs = keras.tree.flatten(specs)
        kind = name_kind(operation)
        call = Call(operation, kind, inputs, arguments, outputs[0], len(outputs) == 1)
        found = rules.RULES[kind](call, self.channels) if self._is_known(call) else None
        traced = self._keep_all(call, outputs) if found is None else [Traced(outputs[0], found)]
        self._record(call, traced[0].channels)
        return keras.tree.pack_sequence_as(specs, traced)

    def _is_known(self, call: Call) -> bool:
        return call.kind in rules.RULES and bool(call.inputs) and call.is_single

    def _keep_all(self, call: Call, outputs: list[Any]) -> list[Traced]:
        """Keep the channels of a call whose kind is not known."""
        name = f"{call.operation.name} ({type(call.operation).__name__})"
        self.unknown[name] += sum(len(each.channels) for each in call.inputs)
        traced = [Traced(spec, self.channels.add(_count_channels(spec))) for spec in outputs]
        for each in [*call.inputs, *traced]:
            self.channels.keep(each.channels, f"{name} is not known to pruning")
        return traced

    def _record(self, call: Call, outputs: numpy.ndarray) -> None:
        """Record a call; a layer that is called again gets and returns the same channels."""
        inputs = call.inputs[0].channels if call.inputs else outputs
        if call.inputs:
            first = self._first.setdefault(id(call.operation), (inputs, outputs))
            for before, now in zip(first, (inputs, outputs), strict=True):
                if len(before) == len(now):
                    self.channels.join(before, now)
        self.calls.append((call, inputs, outputs))


def _unwrap(value: Any) -> Any:
    return value.spec if isinstance(value, Traced) else value


def _count_channels(spec: Any) -> int:
    return spec.shape[-1] or 0 if len(spec.shape) > 1 else 0


def trace(model: keras.Model) -> Trace:
    """Trace the channels of a functional model of Keras's own layers.

    The channels of its inputs and outputs are kept.
    """
    tracer = _Tracer()
    images = [Traced(each, tracer.channels.add(each.shape[-1])) for each in model.inputs]
    for each in images:
        tracer.channels.keep(each.channels, "they are those of the images")
    for each in walk(model, keras.tree.pack_sequence_as(model.input, images), tracer.compute):
        tracer.channels.keep(each.channels, "they are the model's outputs")
    find = tracer.channels.find
    groups = set(find(numpy.arange(len(tracer.channels))).tolist())
    uses = [
        Use(call, find(inputs), find(outputs), _count_pixels(call))
        for call, inputs, outputs in tracer.calls
    ]
    reasons = {group: tracer.channels.get_reason(group) for group in groups}
    kept = {group: reason for group, reason in reasons.items() if reason}
    return Trace(uses, len(tracer.channels), kept, dict(tracer.unknown))


def _count_pixels(call: Call) -> int:
    return math.prod(size or 1 for size in call.output.shape[1:-1])
