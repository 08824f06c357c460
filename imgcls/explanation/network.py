"""A run's network from float pixels to logits, through which gradients flow. Heavy zone."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy

from imgcls.backend import keras, tf
from imgcls.errors import OutOfMemoryError, UserError
from imgcls.export.float32 import to_float32
from imgcls.pruning.graph import walk
from imgcls.training import layer_selection, micro_batches

Items = TypeVar("Items", bound=Sequence[Any] | numpy.ndarray)
Hook = Callable[[int, Any, Any, Any], None]
"""Is called with the number of a call, the operation, its arguments and what it returned."""


@dataclass(frozen=True)
class LayerCall:
    """A call of a layer or operation when the network computes its logits.

    Attributes:
        operation: the layer, which may be called more than once.
        number: of the call, in the order of computation.
        shape: of its output without the batch; None if there are several.
    """

    operation: Any
    number: int
    shape: tuple[int, ...] | None

    @property
    def name(self) -> str:
        """The name of the layer."""
        return str(self.operation.name)

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width of its output."""
        return () if self.shape is None else self.shape[:2]

    @property
    def pixels(self) -> int:
        """The number of pixels of its output."""
        return math.prod(self.size)


class _MissingGradient(Exception):
    """A gradient is None, because some layer stops it.

    Attributes:
        wanted: what it does not reach.
        first: number of the first call that comes after that.
    """

    def __init__(self, wanted: str, first: int):
        super().__init__(wanted)
        self.wanted = wanted
        self.first = first


class Network:
    """Computes logits of float pixels, and their gradients, in float32.

    The layers of the model are called one by one, those of models within it too, on pixels that are
    not integers: so gradients reach the pixels, and the features of any layer.

    Args:
        logits: a functional model from uint8 images (batch, height, width, channels) to logits
            (batch, classes), of any precision; its weights are copied if that is not float32.
        temperature: by which the run's model divides the logits.
        batch_size: images that are computed at a time.

    Attributes:
        calls: of the layers, in the order of computation.
    """

    def __init__(self, logits: keras.Model, temperature: float, batch_size: int):
        computes = {layer.compute_dtype for layer in layer_selection.list_layers(logits)}
        self.model = logits if computes <= {"float32"} else to_float32(logits)
        self.temperature = temperature
        self.batch_size = batch_size
        self.shape: tuple[int, ...] = tuple(logits.input_shape[1:])
        self.calls = self._list_calls()
        signature = tf.TensorSpec([None, *self.shape], tf.float32)
        label = tf.TensorSpec([], tf.int32)
        # Without autograph, which would change the messages of errors.
        self._logits = tf.function(self._run, [signature], autograph=False)
        self._gradients = tf.function(self._differentiate, [signature, label], autograph=False)
        self._features: dict[int, Any] = {}

    def divide(self, items: Items) -> Iterator[Items]:
        """Yield the items in batches of the size that is computed at a time."""
        for start in range(0, len(items), self.batch_size):
            yield items[start : start + self.batch_size]  # type: ignore[misc]  # of the same type

    def compute_logits(self, pixels: numpy.ndarray, label: int | None = None) -> numpy.ndarray:
        """Return the logits of images, float32 (n, classes); or those of one class, (n,).

        Args:
            pixels: float32 (n, height, width, channels), 0..255.
        """
        found = [self._call(self._logits, each).numpy() for each in self.divide(pixels)]
        logits = numpy.concatenate(found)
        return logits if label is None else logits[:, label]

    def compute_probabilities(self, pixels: numpy.ndarray) -> numpy.ndarray:
        """Return the calibrated probabilities of images, float32 (n, classes)."""
        scaled = self.compute_logits(pixels).astype(numpy.float64) / self.temperature
        powers = numpy.exp(scaled - scaled.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(numpy.float32)

    def compute_gradients(self, pixels: numpy.ndarray, label: int) -> numpy.ndarray:
        """Return the gradient of each image's logit of a class, float32 as the pixels.

        Raises:
            UserError: no gradient reaches the pixels; the message names the layer that stops it.
        """
        found = [self._call(self._gradients, each, label).numpy() for each in self.divide(pixels)]
        return numpy.concatenate(found)

    def compute_features(
        self, pixels: numpy.ndarray, label: int, call: LayerCall
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return the features of one image, and the gradient of its logit of a class by them.

        Args:
            pixels: float32 (height, width, channels), 0..255.

        Returns:
            Twice float32 (rows, columns, channels).

        Raises:
            UserError: no gradient reaches the features; the message names the layer that stops it.
        """
        if call.number not in self._features:
            self._features[call.number] = tf.function(
                lambda images, number: self._differentiate_features(images, number, call),
                autograph=False,
            )
        label_tensor = tf.constant(label, tf.int32)
        images = tf.constant(pixels[None])
        found = self._call(self._features[call.number], images, label_tensor)
        features, gradients = (each.numpy()[0] for each in found)
        return features, gradients

    def _run(self, pixels: tf.Tensor, hook: Hook | None = None) -> tf.Tensor:
        """Return the logits of pixels, after showing each call to a hook."""
        number = 0

        def compute(operation: Any, *arguments: Any, **settings: Any) -> Any:
            nonlocal number
            outputs = operation(*arguments, **settings)
            if hook:
                hook(number, operation, (arguments, settings), outputs)
            number += 1
            return outputs

        inputs = keras.tree.pack_sequence_as(self.model.input, [pixels])
        (logits,) = walk(self.model, inputs, compute)
        return logits

    def _list_calls(self) -> list[LayerCall]:
        calls: list[LayerCall] = []

        def record(number: int, operation: Any, _: Any, outputs: Any) -> None:
            flat = tf.nest.flatten(outputs)
            shape = tuple(flat[0].shape[1:]) if len(flat) == 1 else None
            calls.append(LayerCall(operation, number, shape))

        self._call(lambda pixels: self._run(pixels, record), tf.zeros([1, *self.shape]))
        return calls

    def _differentiate(self, pixels: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pixels)
            logit = self._run(pixels)[:, label]
        gradient = tape.gradient(logit, pixels)
        if gradient is None:
            raise _MissingGradient("the pixels", 0)
        return gradient

    def _differentiate_features(
        self, pixels: tf.Tensor, label: tf.Tensor, call: LayerCall
    ) -> tuple[tf.Tensor, tf.Tensor]:
        found: list[tf.Tensor] = []
        with tf.GradientTape(watch_accessed_variables=False) as tape:

            def watch(number: int, _: Any, __: Any, outputs: Any) -> None:
                if number == call.number:
                    tape.watch(outputs)
                    found.append(outputs)

            logit = self._run(pixels, watch)[:, label]
        gradient = tape.gradient(logit, found[0])
        if gradient is None:
            raise _MissingGradient(f"layer '{call.name}'", call.number + 1)
        return found[0], gradient

    def _find_layer_without_gradient(self, first: int) -> str | None:
        """Return the first layer, from a call on, that gets a gradient of its outputs, but gives
        none to its inputs; None if there is none.
        """
        names: list[str] = []
        tensors: list[tuple[list[tf.Tensor], list[tf.Tensor]]] = []
        with tf.GradientTape(watch_accessed_variables=False) as tape:

            def record(number: int, operation: Any, arguments: Any, outputs: Any) -> None:
                made = _list_floats(outputs)
                tape.watch(made)
                names.append(operation.name)
                tensors.append((_list_floats(arguments), made))

            pixels = tf.zeros([1, *self.shape])
            tape.watch(pixels)
            logit = tf.reduce_sum(self._run(pixels, record))
        gradients = tape.gradient(logit, tensors)
        stops = (
            name
            for name, (given, made) in list(zip(names, gradients, strict=True))[first:]
            if any(each is not None for each in made) and all(each is None for each in given)
        )
        return next(stops, None)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of TensorFlow.

        Raises:
            OutOfMemoryError: the device's memory is too small for a batch.
            UserError: a gradient is missing.
        """
        try:
            return function(*arguments)
        except _MissingGradient as missing:
            name = self._find_layer_without_gradient(missing.first)
            reason = f"layer '{name}' stops it" if name else "nothing after it depends on it"
            raise UserError(
                f"no gradient reaches {missing.wanted}: {reason}; take --method occlusion, which"
                " needs none"
            ) from None
        except tf.errors.OpError as error:
            if not micro_batches.is_out_of_memory(error, is_single=True):
                raise
            raise OutOfMemoryError(
                f"out of memory with batches of {self.batch_size} images"
                f" ({micro_batches.extract_reason(error)}); set a smaller explain.batch_size, or"
                " stop other programs on the device"
            ) from None


def _list_floats(values: Any) -> list[tf.Tensor]:
    """Return the tensors among some values that can have a gradient."""
    flat = tf.nest.flatten(values)
    return [each for each in flat if tf.is_tensor(each) and each.dtype.is_floating]
