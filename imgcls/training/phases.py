"""The phases of a training, between which what is trained changes. Heavy zone.

They are a function of the settings and the number of steps, so resuming needs no state.
"""

from dataclasses import dataclass

from imgcls.backend import keras
from imgcls.durations import Duration
from imgcls.errors import UserError
from imgcls.io import terminal
from imgcls.models import HEAD
from imgcls.phase_settings import Freeze
from imgcls.train_config import Train
from imgcls.training import layer_selection

Size = tuple[int, int]
Kind = tuple[frozenset[int], Size]

SIZES = 4
"""The number of smaller sizes of progressive resizing: each one is compiled."""
SIZE_INCREMENT = 4
"""Smaller sizes are multiples of so many pixels."""


@dataclass(frozen=True)
class Phase:
    """Steps of a training that train the same layers, on images of the same size.

    Attributes:
        start: the first step, from 0.
        end: the first step after them.
        frozen: the layers with weights that are not trained.
        size: height and width of the images, in pixels.
    """

    start: int
    end: int
    frozen: tuple[keras.layers.Layer, ...]
    size: Size

    @property
    def kind(self) -> Kind:
        """What is equal if the steps of two phases do the same: which layers are frozen, and the
        size.
        """
        return frozenset(map(id, self.frozen)), self.size


def plan_phases(
    settings: Train, model: keras.Model, total_steps: int, steps_per_epoch: int
) -> list[Phase]:
    """Return the phases of a training, in order.

    Raises:
        UserError: a setting selects no layer, lasts longer than the training, or leaves nothing to
            train.
    """
    if settings.epochs == 0:  # only the last layer was fitted
        every = layer_selection.list_layers(model)
        others = tuple(layer for layer in every if layer.name != HEAD)
        return [Phase(0, total_steps, others, model.input_shape[1:3])]
    frozen = []
    for index, section in enumerate(settings.freeze):
        key = f"train.freeze.{index}"
        end = _find_end(section.until, total_steps, steps_per_epoch, f"{key}.until")
        frozen.append((end, _select(section, model, key)))
    sizes = _plan_sizes(settings, model.input_shape[1:3], total_steps, steps_per_epoch)
    ends = sorted({total_steps, *(end for end, _ in frozen), *sizes} - {0})
    phases = []
    for start, end in zip([0, *ends], ends, strict=False):
        layers = {id(each): each for last, group in frozen if start < last for each in group}
        size = sizes[max(first for first in sizes if first <= start)]
        phases.append(Phase(start, end, tuple(layers.values()), size))
        _require_trained(phases[-1], model)
    return phases


def list_frozen_at_start(settings: Train, model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that are not trained in the first step; raises as `plan_phases` does."""
    return [
        layer
        for index, section in enumerate(settings.freeze)
        for layer in _select(section, model, f"train.freeze.{index}")
    ]


def _plan_sizes(
    settings: Train, full: Size, total_steps: int, steps_per_epoch: int
) -> dict[int, Size]:
    """Return the sizes of images, each by its first step; equal ones in a row only once."""
    resizing = settings.progressive_resizing
    if resizing is None:
        return {0: full}
    key = "train.progressive_resizing.until"
    end = _find_end(resizing.until, total_steps, steps_per_epoch, key)
    sizes: dict[int, Size] = {}
    for number in range(SIZES + 1):
        progress = number / SIZES
        scale = resizing.initial_scale + (1 - resizing.initial_scale) * progress
        height, width = (_round_size(scale, each) for each in full)
        if (height, width) not in sizes.values():
            sizes[round(progress * end)] = height, width
    if set(sizes.values()) == {full}:
        raise UserError(
            f"train.progressive_resizing trains on no smaller images: with initial_scale"
            f" {resizing.initial_scale}, multiples of {SIZE_INCREMENT} pixels and until"
            f" {resizing.until}, every step has the full {full[0]}x{full[1]}; make"
            " initial_scale smaller or until later, or remove the section"
        )
    return sizes


def _round_size(scale: float, full: int) -> int:
    """Return a height or width, which is a multiple of `SIZE_INCREMENT` or the full one."""
    rounded = max(round(scale * full / SIZE_INCREMENT), 1) * SIZE_INCREMENT
    return full if scale == 1 else min(rounded, full)


def find_kinds(phases: list[Phase]) -> list[Phase]:
    """Return the last phase of each kind, in order."""
    found = {phase.kind: phase for phase in phases}
    return sorted(found.values(), key=lambda phase: phase.start)


def find_phase(phases: list[Phase], step: int) -> Phase:
    """Return the phase of a step, counted from 0; after the last step, the last phase."""
    return next((phase for phase in phases if step < phase.end), phases[-1])


def note_phase(phase: Phase, total_steps: int, model: keras.Model) -> None:
    """Print a note with the size of images in a phase, and how much is frozen."""
    terminal.note(
        f"steps {phase.start + 1:,} to {phase.end:,} of {total_steps:,}: images of"
        f" {phase.size[0]}x{phase.size[1]} pixels; {_describe_frozen(phase, model)}"
    )


def _describe_frozen(phase: Phase, model: keras.Model) -> str:
    layers = layer_selection.list_layers(model)
    frozen, total = phase.frozen, model.count_params()
    if not frozen:
        return f"all {len(layers)} layers with weights are trained ({total:,} parameters)"
    norms = _count_batch_norms(layers)
    text = (
        f"{len(frozen)} of {len(layers)} layers with weights are frozen, with"
        f" {sum(layer.count_params() for layer in frozen):,} of {total:,} parameters"
    )
    if norms:
        text += f"; of {norms} batch norms, {_count_batch_norms(frozen)} are frozen"
    return text


def _count_batch_norms(layers: "list[keras.layers.Layer] | tuple[keras.layers.Layer, ...]") -> int:
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)


def _find_end(until: Duration | None, total_steps: int, steps_per_epoch: int, key: str) -> int:
    """Return the first step after a duration; after the last one if it is None."""
    if until is None:
        return total_steps
    end = until.count_steps(total_steps, steps_per_epoch)
    if end > total_steps:
        raise UserError(
            f"{key} is {until}, but the training has {total_steps} steps; give at most that"
            " many, or a percentage such as 30%"
        )
    return end


def _select(section: Freeze, model: keras.Model, key: str) -> list[keras.layers.Layer]:
    """Return the layers that a section freezes."""
    if section.layers is not None:
        selected = layer_selection.select_by_name(model, section.layers, f"{key}.layers")
    else:
        selected = layer_selection.select_by_depth(model, section.depth or 0, f"{key}.depth")
    if section.batch_norm == "frozen":
        return selected
    frozen = [each for each in selected if not isinstance(each, keras.layers.BatchNormalization)]
    if not frozen:
        raise UserError(
            f"{key} selects batch norm only, and batch_norm: trained freezes none of it; select"
            " other layers, or set batch_norm: frozen"
        )
    return frozen


def _require_trained(phase: Phase, model: keras.Model) -> None:
    frozen = {id(variable) for layer in phase.frozen for variable in layer.variables}
    if all(id(variable) in frozen for variable in model.trainable_variables):
        raise UserError(
            f"train.freeze freezes all layers of the model from step {phase.start + 1} to"
            f" {phase.end}, so nothing is left to train; leave out some, such as"
            f" {HEAD}"
        )
