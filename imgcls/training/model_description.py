"""The record in model.keras: what a program needs besides the network. Light zone."""

import zipfile
from pathlib import Path
from typing import Annotated

from pydantic import Field

from imgcls.image.decode import Resize
from imgcls.io.data_file import DataFile
from imgcls.io.records import Record, Shape, parse_record
from imgcls.training.temperature import Calibration

MEMBER = "imgcls.json"
"""The name of the record in the zip archive."""
ADVICE = "run the training command again without it, which writes a new one"
"""What to do about a model file that is missing or damaged, as the end of a message."""


class SoupDescription(Record):
    """Weights that are averaged over epochs, from the best epoch on, and their results."""

    epochs: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    """The epochs whose weights went in, in that order."""
    val_loss: float
    """Loss of the average on the validation split, in nats."""
    val_accuracy: float
    """Accuracy of the average on the validation split, 0..1."""


class ModelDescription(Record):
    """Classes, input images, calibration and origin of a model."""

    classes: Annotated[list[str], Field(min_length=1)]
    """Class names, in the order of the probabilities."""
    shape: Shape
    """Height, width and channels of the input images, in pixels."""
    resize: Resize
    """How images are resized to that shape: pad, crop or stretch."""
    calibration: Calibration
    """The temperature by which the logits are divided before the softmax."""
    soup: SoupDescription | None
    """The epochs whose weights the model averages; null without `train.select_weights: soup`."""
    fingerprint: str
    """Fingerprint of the store that the model was trained on."""
    imgcls: str
    """The version of imgcls that wrote the model."""


def read_description(model_file: Path) -> ModelDescription:
    """Read the record in a model file.

    Raises:
        DataError: the file is missing or damaged.
    """
    file = DataFile(model_file, ADVICE)
    with file.explain_errors(), zipfile.ZipFile(model_file) as archive:
        if MEMBER not in archive.namelist():
            raise file.make_damage_error(f"it has no {MEMBER}")
        content = archive.read(MEMBER)
    return parse_record(content, ModelDescription, DataFile(model_file, ADVICE, f"{MEMBER}: "))
