"""Opens the backbone and the preprocessing of a preset with KerasHub. Heavy zone."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from imgcls.backend import keras
from imgcls.errors import DataError, UserError
from imgcls.io import files, terminal
from imgcls.models import Problem, _application_layers, _layers
from imgcls.models._hub_presets import ADVICE, OWN_LAYERS, Preset
from imgcls.transfer import keras_models
from imgcls.transfer.keras_file import read_keras_file
from imgcls.transfer.weights import Leftover, TrainedOn, Weights

MAX_REASON_LENGTH = 100
"""Characters of the reason why something cannot be downloaded, in a message."""


def make_features(preset: Preset, images: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Return the features of a new backbone with the layers of a preset, (batch, channels).

    Args:
        images: uint8 (batch, height, width, channels). A single channel is repeated, see
            `_application_layers.preprocess`.

    Raises:
        UserError: the images are too small for it, or it has layers of KerasHub's own.
        DataError: KerasHub cannot download its configuration.
    """
    # On an input of its own, since `images` would keep its layers, and their weights, alive.
    own_images = keras.Input(images.shape[1:], dtype=images.dtype)
    pixels = _preprocess(preset, own_images, problem)
    backbone = _open_backbone(preset, tuple(pixels.shape[1:]))
    # Keras has no public function for it: a call would nest the backbone as one layer.
    features = backbone._run_through_graph(pixels)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    application = keras.Model(own_images, pooled)
    return _application_layers.replace_layers(application, images, problem.dropout_seed + 1)


def _preprocess(preset: Preset, images: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Scale pixels as the image converter of a preset does.

    Without one, and of other channels, for which there are no weights, they are standardized.
    """
    channels = images.shape[-1]
    is_repeated = channels == 1 and preset.channels == 3
    has_weights = is_repeated or channels == preset.channels
    converter = _open_converter(preset) if has_weights else None
    if has_weights and converter is None:
        terminal.note(
            f"model keras_hub: {preset.source} does not say how its pixels were scaled; they are"
            " standardized by the mean and std of the training images"
        )
    pixels = images if converter else _layers.standardize(images, problem)
    if is_repeated:
        pixels = keras.layers.Concatenate(name="repeat_channels")([pixels] * 3)
    if converter is None:
        return pixels
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return keras.layers.Rescaling(scale, offset, name="rescale")(pixels)


def read_weights(preset: Preset) -> Weights:
    """Return the weights of a preset's backbone, by the names of its layers.

    Raises:
        UserError: it has layers of KerasHub's own.
        DataError: KerasHub cannot download it, or a file of it is damaged.
    """
    backbone = _open_backbone(preset)
    weights = keras_models.read_model(backbone, preset.source, _find_images(preset))
    path = preset.weights_file
    return replace(
        weights,
        path=path,
        sha256=files.compute_sha256(path) if path else weights.sha256,
        leftovers=[*weights.leftovers, *_list_task_weights(preset)],
    )


def _list_task_weights(preset: Preset) -> list[Leftover]:
    """Return the tensors of a classifier's last layers, which are not used."""
    path = preset.task_weights_file
    if path is None:
        return []
    task = read_keras_file(path)
    tensors = [tensor for tensors in task.layers.values() for tensor in tensors]
    reason = "of the classifier's last layers, whose classes the preset does not name"
    return [Leftover(tensor, reason) for tensor in tensors] + task.leftovers


def _find_images(preset: Preset) -> TrainedOn | None:
    """Return the images that a preset was made for, as its image converter resizes them."""
    converter = _open_converter(preset)
    if converter is None or converter.image_size is None:
        return None
    height, width = map(int, converter.image_size)
    if converter.crop_to_aspect_ratio:
        resize = "cropped"
    else:
        resize = "padded" if converter.pad_to_aspect_ratio else "stretched"
    smoothing = " with antialiasing" if converter.antialias else ""
    return TrainedOn(
        (height, width, preset.channels), f"{converter.interpolation}{smoothing}, {resize}"
    )


def _open_backbone(preset: Preset, shape: tuple[int, int, int] | None = None) -> keras.Model:
    """Return KerasHub's backbone, after checking that its layers are Keras's.

    Args:
        shape: of the images of a new one; without it, the preset's own one with its weights.
    """
    settings = {} if shape is None else {preset.family.shape_key: shape}
    with _explain_errors(preset, shape):
        backbone = _import_library().models.Backbone.from_preset(
            preset.name, load_weights=shape is None, **settings
        )
    kinds = {type(layer) for layer in backbone.layers}
    own = sorted(kind.__name__ for kind in kinds if not kind.__module__.startswith("keras."))
    if own:
        raise UserError(
            f"model.preset: {preset.source}, with {terminal.format_some(own, 4)}, {OWN_LAYERS}"
        )
    return backbone


def _open_converter(preset: Preset) -> Any:
    """Return KerasHub's image converter of a preset; None if it has none."""
    with _explain_errors(preset):
        try:
            return _import_library().layers.ImageConverter.from_preset(preset.name)
        except FileNotFoundError:
            return None


def _import_library() -> Any:
    import keras_hub

    return keras_hub


@contextlib.contextmanager
def _explain_errors(preset: Preset, shape: tuple[int, int, int] | None = None) -> Iterator[None]:
    """Turn what KerasHub raises in the block into an error of one line.

    Args:
        shape: of the images that a network is built for; None if files are read.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where it says what it downloads
            yield
    except (OSError, ValueError, TypeError, LookupError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        if preset.folder is None and isinstance(error, OSError):
            raise DataError(
                f"model.preset: KerasHub cannot download {preset.name} ({_shorten(reason)}); on"
                f" another machine, save it with from_preset({preset.name!r}) and save_to_preset of"
                " keras_hub.models.ImageClassifier, copy the folder, and set model.preset to its"
                " path"
            ) from None
        if shape is None:
            raise DataError(
                f"model.preset: KerasHub cannot load {preset.source} ({reason}); {ADVICE}"
            ) from None
        raise UserError(
            f"model.preset: KerasHub refuses {preset.source} for images of"
            f" {'x'.join(map(str, shape))}: {reason}; if they are too small, give a larger"
            " data.size, or else another model.preset"
        ) from None


def _shorten(reason: str) -> str:
    """Return the start of an error's message; those of network libraries are a paragraph."""
    return reason if len(reason) <= MAX_REASON_LENGTH else f"{reason[:MAX_REASON_LENGTH]}..."
