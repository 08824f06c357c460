"""Distillation: trains another, smaller network on the predictions of the run's model.

Hinton et al., 2015, "Distilling the knowledge in a neural network"
(https://arxiv.org/abs/1503.02531). The training is that of `train.distillation`, with the run as
the teacher; its loss on feature maps is attention transfer, for the reasons that
imgcls/training/attention.py gives. Light zone.
"""

import json
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.compressors import Compressed, CompressorSettings
from imgcls.errors import UserError
from imgcls.models import ModelSettings
from imgcls.parts import PartOf

if TYPE_CHECKING:
    from imgcls.compression.context import Context

STUDENT = PartOf("models", default="speed")


class Settings(CompressorSettings):
    """The settings of distillation."""

    student: Annotated[ModelSettings, STUDENT] = Field(default_factory=STUDENT.make_default)
    """The network to train: a section like `model`."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs of its training; as many as the experiment has unless given."""
    temperature: Annotated[float, Field(gt=0)] = 4.0
    """As `train.distillation.temperature`."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Weight of the loss on the teacher's predictions; that on the labels has the rest."""
    attention: Annotated[float, Field(gt=0)] | None = None
    """Weight of a loss on the teacher's feature maps, as `train.distillation.attention`. Off unless
    given."""


def compress(settings: Settings, context: "Context") -> Compressed:
    """Return the trained student.

    Raises:
        UserError: the teacher is what another method of the chain made.
    """
    if context.number > 1:
        raise UserError(
            "distill must be the first method: its teacher is the run that is compressed; compress"
            " that first, and its result by distill"
        )
    model, trained = context.fine_tune(None, list_overrides(settings, str(context.original.folder)))
    details = {"parameters": [context.model.count_params(), model.count_params()]}
    return Compressed(model, details, trained)


def list_overrides(settings: Settings, teacher: str) -> list[str]:
    """Return what differs from the teacher's experiment; its other settings stay.

    Args:
        teacher: the folder of the run.
    """
    distillation = {
        "teacher": teacher,
        "temperature": settings.temperature,
        "alpha": settings.alpha,
        "attention": settings.attention,
    }
    epochs = settings.epochs
    return [
        f"model={json.dumps(settings.student.model_dump())}",
        f"train.distillation={json.dumps(distillation)}",
        *([] if epochs is None else ["train.budget=null", f"train.epochs={epochs}"]),
    ]
