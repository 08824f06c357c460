"""How the first layers of a model scale its images, from Keras's configurations. Light zone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgcls.transfer.weights import Tensor

_EPSILON = 1e-7
"""The least std that Keras's `Normalization` divides by (keras.backend.epsilon)."""


@dataclass(frozen=True)
class Scaling:
    """What becomes of a pixel x before the first layer with kernels: x * scale + offset.

    Attributes:
        layers: names of the layers that do it; empty if the pixels are left as they are.
        scale, offset: float64, a number or one for each channel.
    """

    layers: list[str]
    scale: Any
    offset: Any

    def is_same(self, other: "Scaling") -> bool:
        """Return whether two scalings are the same but for rounding."""
        import numpy

        values = [(self.scale, other.scale), (self.offset, other.offset)]
        return all(
            _have_matching_sizes(*pair) and numpy.allclose(*pair, rtol=1e-3, atol=1e-6)
            for pair in values
        )

    def __str__(self) -> str:
        if not self.layers:
            return "no layer that scales pixels"
        return f"{_format(self.scale)} * pixel + {_format(self.offset)} in {', '.join(self.layers)}"


def find_scaling(
    configs: Sequence[Mapping[str, Any]], tensors: Mapping[str, list[Tensor]]
) -> Scaling:
    """Return the scaling by the layers before the first one with kernels.

    Args:
        configs: of the layers, from the input on.
        tensors: by layer; a `Normalization` may have its mean and variance there.
    """
    import numpy

    names, scale, offset = [], numpy.float64(1.0), numpy.float64(0.0)
    for config in configs:
        kind, own = config.get("class_name"), config.get("config") or {}
        if "kernel_initializer" in own or "depthwise_initializer" in own:
            break
        if kind == "Rescaling":
            factor, shift = numpy.float64(own["scale"]), numpy.float64(own["offset"])
        elif kind == "Normalization":
            mean, variance = _find_statistics(own, tensors)
            std = numpy.maximum(numpy.sqrt(variance), _EPSILON)
            factor, shift = 1 / std, -mean / std
        else:
            continue
        names.append(str(own.get("name")))
        scale, offset = scale * factor, offset * factor + shift
    return Scaling(names, scale, offset)


def _find_statistics(
    own: Mapping[str, Any], tensors: Mapping[str, list[Tensor]]
) -> tuple[Any, Any]:
    """Return mean and variance of a `Normalization`, float64 (channels,)."""
    if own.get("mean") is not None:
        mean, variance = own["mean"], own["variance"]
    elif own.get("name") in tensors:
        mean, variance = (tensor.array for tensor in tensors[own["name"]][:2])
    else:
        mean, variance = 0.0, 1.0
    return _flatten(mean), _flatten(variance)


def _flatten(value: Any) -> Any:
    """Return a number, or a list of one for each channel; Keras writes lists in lists."""
    import numpy

    array = numpy.asarray(value, numpy.float64).ravel()
    return array[0] if array.size == 1 else array


def _have_matching_sizes(one: Any, other: Any) -> bool:
    """Return whether numbers, or arrays of one for each channel, can be compared."""
    import numpy

    sizes = {numpy.size(one), numpy.size(other)} - {1}
    return len(sizes) < 2


def _format(value: Any) -> str:
    import numpy

    return "[" + ", ".join(f"{each:.4g}" for each in numpy.ravel(value)) + "]"
