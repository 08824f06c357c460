"""Starts a run from trained weights. Heavy zone."""

import json
from collections.abc import Callable

from imgcls.backend import keras
from imgcls.config import Experiment
from imgcls.errors import UserError
from imgcls.image.decode import Geometry
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import layer_selection, model_file
from imgcls.transfer import source
from imgcls.transfer.architecture import find_differences
from imgcls.transfer.keras_file import read_configs
from imgcls.transfer.linear_probe import fit_head
from imgcls.transfer.matching import Layer, Matched, match
from imgcls.transfer.record import InitialWeights
from imgcls.transfer.scaling import find_scaling
from imgcls.transfer.weights import Weights


def find_initializer(
    model: keras.Model, experiment: Experiment, store: Store, split: Split, run: Run | None
) -> Callable[[], None] | None:
    """Return the function that sets the weights of a new run; None if they are random.

    Args:
        run: which gets records of where they come from; None without one.
    """
    loads, fits = bool(experiment.model.weights), bool(experiment.train.head_init)
    if not (loads or fits):
        return None

    def initialize() -> None:
        if loads:
            load_weights(model, experiment, store, split, run)
        if fits:
            fit_head(model, experiment, store, split, run)

    return initialize


def load_weights(
    model: keras.Model, experiment: Experiment, store: Store, split: Split, run: Run | None
) -> None:
    """Load the weights that `model.weights` names into a model, and print what was loaded.

    Args:
        run: whose weights.json gets a record of it; None without one.

    Raises:
        UserError: they are missing, or of another architecture.
        DataError: they are damaged, not finite, or would run code.
    """
    settings = experiment.model
    weights = source.read(settings)
    layers = [_describe(layer) for layer in layer_selection.list_layers(model)]
    matched = match(layers, weights, store.classes, settings.sums_channels)
    notes = _compare_layers(model, weights) + _compare_images(weights, split.geometry)
    for layer in layer_selection.list_layers(model):
        for position, variable in enumerate(layer.weights):
            if (layer.name, position) in matched.values:
                variable.assign(matched.values[layer.name, position])
    record = _make_record(str(settings.weights), weights, matched, notes)
    if run:
        write_record(run.weights_file, record)
    for line in record.format_lines():
        terminal.print_line(line)
    for text in notes:
        terminal.note(text)


def _describe(layer: keras.layers.Layer) -> Layer:
    """Return a layer with its variables by name; a number makes the names distinct."""
    values: dict[str, keras.Variable] = {}
    for variable in layer.weights:
        name = variable.name
        values[name if name not in values else f"{name}_{len(values)}"] = variable
    return Layer(layer.name, values)


def _compare_layers(model: keras.Model, weights: Weights) -> list[str]:
    """Return notes on what the source's layers do otherwise.

    Raises:
        UserError: a layer without weights differs, so that the weights would compute other things;
            or the images were scaled in another way.
    """
    if weights.layer_configs is None:
        if weights.is_complete:  # of a model that is known
            return []
        return [f"{weights.source} does not say how its pixels were scaled"]
    here = read_configs(
        json.dumps(keras.saving.serialize_keras_object(model_file.make_plain_model(model)))
    )
    differences = find_differences(weights.layer_configs, here) if weights.is_complete else []
    if differences:
        raise UserError(
            f"model.weights: {weights.source} is of another architecture; give weights of the same"
            f" model with the same settings, or change model.\n{terminal.format_lines(differences)}"
        )
    before = find_scaling(weights.layer_configs, weights.layers)
    after = find_scaling(here, {})
    if before.is_same(after):
        return []
    text = f"{weights.source} has {before}; this model has {after}"
    if weights.is_complete:
        return [f"{text}: each standardizes by its own training pixels"]
    if before.layers:
        raise UserError(
            f"model.weights: {text}; on pixels that are scaled otherwise, the weights give wrong"
            " outputs: give weights that were trained on pixels scaled as here"
        )
    return [f"{text}: its training pixels must have been scaled in that way beforehand"]


def _compare_images(weights: Weights, geometry: Geometry) -> list[str]:
    """Return a note if the weights were trained on images of another size or resize policy."""
    trained_on = weights.trained_on
    if trained_on is None:
        return [f"{weights.source} does not say which images it was trained on"]
    shape, resize = geometry.shape, geometry.resize
    if (trained_on.shape[:2], trained_on.resize) == (shape[:2], resize):
        return []
    return [
        f"{weights.source} was trained on images of {_format_size(trained_on.shape)}"
        f" ({trained_on.resize}); these have {_format_size(shape)} ({resize})"
    ]


def _format_size(shape: tuple[int, int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"


def _make_record(
    given: str, weights: Weights, matched: Matched, notes: list[str]
) -> InitialWeights:
    path = weights.path
    known = path is None or str(path) == weights.source
    where = weights.source if known else f"{weights.source} ({path})"
    return InitialWeights(
        weights=given,
        source=where,
        sha256=weights.sha256,
        notes=notes,
        tensors=matched.rows,
        classes=matched.classes,
    )
