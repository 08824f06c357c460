"""The settings of the loss on a teacher's predictions. Light zone.

imgcls/training/teacher.py computes it, since it needs the images.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from imgcls.parts import Section


class Distillation(Section):
    """Train on the predictions of another run's model, the teacher, beside the labels (Hinton et
    al., 2015).

    The teacher predicts the same augmented images in each step. The log's `loss` is
    (1 - alpha) times the training loss plus alpha times the one on the teacher's predictions, plus
    that on its attention if it is given; `val_loss` is the training loss alone.
    """

    short: ClassVar[str | None] = "teacher"

    teacher: Annotated[str, Field(min_length=1)]
    """The folder of a finished run, with the same classes in the same order."""
    temperature: Annotated[float, Field(gt=0)] = 4.0
    """By which both logits are divided before the softmax; above 1, it shows the teacher's
    differences between the wrong classes."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Weight of the loss on the teacher's predictions; that on the labels has the rest."""
    attention: Annotated[float, Field(gt=0)] | None = None
    """Weight of a loss on the teacher's feature maps (attention transfer, Zagoruyko and Komodakis,
    2017): half the squared distance of both networks' attention maps, summed over their last
    feature maps of each size. It is not part of alpha. Off unless given."""
