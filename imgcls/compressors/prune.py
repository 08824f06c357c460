"""Structured pruning: removes whole channels, so that a network computes less anywhere.

Channels are traced through the network, joined where they can only be removed together, and those
of the lowest scores removed in a few steps, after each of which the rest is trained (Li et al.,
2017, https://arxiv.org/abs/1608.08710; Liu et al., 2017, https://arxiv.org/abs/1708.06519). Light
zone.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.compressors import Compressed, CompressorSettings
from imgcls.durations import Duration, DurationIn, parse_duration
from imgcls.io import terminal

if TYPE_CHECKING:
    from imgcls.compression.context import Context
    from imgcls.pruning.gradual import GradualPruning


class Settings(CompressorSettings):
    """The settings of structured pruning."""

    multiply_adds: Annotated[Duration, DurationIn("%")] = parse_duration("50%")
    """Multiply-adds of an image that are left at most, of those of the original."""
    score: Literal["batch_norm", "l1", "random"] = "batch_norm"
    """What decides which channels are removed: the absolute scale of the batch norm behind them, or
    in layers without, as `l1`; the sum of absolute weights of their kernels; or chance. All are
    relative to the mean of the layer.
    """
    steps: Annotated[int, Field(ge=1, le=4)] = 3
    """Number of times that channels are removed and the rest is trained. Each step keeps the same
    fraction of the multiply-adds; 1 removes all channels at once.
    """
    epochs: Annotated[int, Field(ge=1)] = 5
    """Epochs of training after each step."""
    learning_rate_factor: Annotated[float, Field(gt=0)] = 0.1
    """Factor on the learning rate of the original's training."""
    multiple_of: Annotated[int, Field(ge=1)] = 8
    """Numbers of channels are multiples of this, in layers of at least twice as many; others are
    rounded by no one. 8 suits most processors; 1 rounds nothing.
    """
    min_fraction: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Fraction of the channels of each layer that is kept at least."""


def compress(settings: Settings, context: "Context") -> Compressed:
    """Return the network with the channels that the budget leaves, trained after each step.

    Raises:
        UserError: the budget cannot be reached.
    """
    from imgcls.models._cost import count_multiply_adds
    from imgcls.pruning.gradual import GradualPruning
    from imgcls.pruning.plan import Limits

    limits = Limits(settings.multiple_of, settings.min_fraction)
    model, seed = context.model, context.experiment.seed
    pruning = GradualPruning(model, settings.score, seed, limits)
    fraction = float(settings.multiply_adds.number) / 100
    pruning.require_reachable(model, int(fraction * pruning.total))
    _note_unknown(pruning)
    trained, before = None, model.count_params()
    for step in range(1, settings.steps + 1):
        budget = int(fraction ** (step / settings.steps) * pruning.total)
        narrow = pruning.prune(model, budget)
        model, trained = context.fine_tune(narrow, _list_overrides(settings, context))
    details = {
        "multiply_adds": [pruning.total, count_multiply_adds(model)],
        "parameters": [before, model.count_params()],
        "channels": {name: list(pair) for name, pair in pruning.count_widths().items()},
        "kept_through": pruning.unknown,
    }
    return Compressed(model, details, trained)


def _note_unknown(pruning: "GradualPruning") -> None:
    """Print a note with the layers whose channels are kept since their kind is not known."""
    if pruning.unknown:
        names = terminal.format_some(list(pruning.unknown), 5)
        terminal.note(
            f"prune: {sum(pruning.unknown.values()):,} channels are kept, which enter layers of"
            f" kinds that pruning does not know: {names}"
        )


def _list_overrides(settings: Settings, context: "Context") -> list[str]:
    """Return what differs from the original's training; statistics of batch norm are estimated
    again after each epoch, since those of the wider network are not those of the narrow one.
    """
    rate = context.experiment.train.optimizer.learning_rate * settings.learning_rate_factor
    return [
        "train.budget=null",
        f"train.epochs={settings.epochs}",
        f"train.optimizer.learning_rate={rate!r}",
        "train.precise_batch_norm={batches: 64}",
    ]
