"""Attention transfer: a student's feature maps learn where the teacher's are active. Heavy zone.

Zagoruyko and Komodakis, 2017, "Paying more attention to attention"
(https://arxiv.org/abs/1612.03928), section 3.1. It is chosen over two others: the hints of FitNets
(Romero et al., 2015, https://arxiv.org/abs/1412.6550) need a layer that is trained and dropped at
the end, whose state each checkpoint would have to hold; and similarity-preserving distillation
(Tung and Mori, 2019, https://arxiv.org/abs/1907.09682) compares the images of a batch, so that its
loss would depend on the number of devices and micro-batches. Attention maps have no weights, have
one channel whatever the networks' widths, and belong to one image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imgcls.backend import keras, tf

EPSILON = 1e-12
"""Added below the root of a map's norm, so that a map of zeros has a gradient."""


@dataclass(frozen=True)
class FeatureMap:
    """A feature map of a network.

    Attributes:
        layer: the name of the layer that returns it.
        output: of the network's graph, (batch, height, width, channels).
    """

    layer: str
    output: keras.KerasTensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return tuple(self.output.shape[1:3])

    def __str__(self) -> str:
        return f"{self.layer} ({self.size[0]}x{self.size[1]})"


def list_feature_maps(model: keras.Model) -> list[FeatureMap]:
    """Return the last feature map of each size, in the order of computation: those with which the
    stages of a network end.

    Maps of one pixel are left out, and so is what comes before the first layer with a kernel. Of a
    model within the model, only the output is seen.
    """
    found: dict[tuple[int, int], FeatureMap] = {}
    has_begun = False
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            layer = node.operation
            has_begun |= hasattr(layer, "kernel") or isinstance(layer, keras.Model)
            for output in node.outputs if has_begun else []:
                if len(output.shape) == 4 and output.shape[1:3] != (1, 1):
                    each = FeatureMap(layer.name, output)
                    found.pop(each.size, None)  # so that the last one decides on the order
                    found[each.size] = each
    return list(found.values())


def pair(teacher: keras.Model, student: keras.Model) -> list[tuple[FeatureMap, FeatureMap]]:
    """Pair the feature maps of two networks from their last ones backwards, as many as both have.

    Returns:
        The teacher's and the student's, in the order of computation; none if a network has none.
    """
    ends = zip(
        reversed(list_feature_maps(teacher)), reversed(list_feature_maps(student)), strict=False
    )
    return list(ends)[::-1]


def compute_losses(taught: Sequence[tf.Tensor], learned: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return half the sum over the pairs of the squared distance of their attention maps, (rows,).

    It is at most 1 a pair, since maps have no negative values and a norm of 1. The distance is
    squared as in the authors' program, not as in the paper's equation 2, whose gradient is not
    defined for equal maps.

    Args:
        taught: feature maps of the teacher, each (rows, height, width, channels).
        learned: of the student, of the same dtype; heights, widths and channels may differ.
    """
    distances = []
    for one, other in zip(taught, learned, strict=True):
        size = tuple(map(min, one.shape[1:3], other.shape[1:3]))
        difference = _compute_map(one, size) - _compute_map(other, size)
        distances.append(tf.reduce_sum(difference**2, axis=-1))
    return tf.add_n(distances) / 2


def _compute_map(features: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Return the mean of the squared channels at each pixel, resized, with a norm of 1, (rows,
    height x width).
    """
    energy = tf.reduce_mean(features**2, axis=-1, keepdims=True)
    if size != tuple(features.shape[1:3]):
        energy = tf.cast(
            tf.raw_ops.ResizeBilinear(
                images=tf.cast(energy, tf.float32), size=list(size), half_pixel_centers=True
            ),
            features.dtype,
        )
    flat = tf.reshape(energy, [-1, size[0] * size[1]])
    return flat * tf.math.rsqrt(tf.reduce_sum(flat**2, axis=-1, keepdims=True) + EPSILON)
