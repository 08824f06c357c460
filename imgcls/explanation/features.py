"""The features of a network that Grad-CAM weights. Heavy zone."""

from imgcls.backend import keras
from imgcls.errors import UserError
from imgcls.explanation.network import LayerCall, Network

CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
"""The layers whose outputs are features in Grad-CAM's sense."""
WITHOUT_LAYERS = "take --method integrated_gradients, smooth_gradients or occlusion instead"


def find_features(network: Network, layer: str | None) -> LayerCall:
    """Return the call whose outputs are the features of Grad-CAM.

    Args:
        layer: its name; None for the last one before anything changes the size of the outputs
            of the last convolution that has more than one pixel.

    Raises:
        UserError: there is none, or its outputs are not features with pixels.
    """
    maps = [call for call in network.calls if call.shape is not None and len(call.shape) == 3]
    if layer is not None:
        return _find_layer(layer, maps, network.calls)
    convolutions = [call for call in maps if isinstance(call.operation, CONVOLUTIONS)]
    if not convolutions:
        raise UserError(
            "grad_cam needs features of a convolution, but this model has no convolution;"
            f" {WITHOUT_LAYERS}"
        )
    large = [call for call in convolutions if call.pixels > 1]
    if not large:
        raise UserError(
            "grad_cam needs features with more than one pixel, but convolution"
            f" '{convolutions[0].name}' leaves one; {WITHOUT_LAYERS}"
        )
    last = large[-1]
    found = [call for call in maps if call.number >= last.number and call.size == last.size]
    return found[-1]


def _find_layer(name: str, maps: list[LayerCall], calls: list[LayerCall]) -> LayerCall:
    found = [call for call in maps if call.name == name]
    if found:
        return found[-1]
    names = list(dict.fromkeys(call.name for call in maps))
    is_there = any(call.name == name for call in calls)
    problem = "whose outputs are not features with pixels" if is_there else "which is not there"
    raise UserError(
        f"grad_cam: layer is '{name}', {problem}; allowed: {', '.join(names[-20:]) or 'none'}"
    )
