"""Finds and reads the weights that `model.weights` names. Light zone."""

import os
import zipfile
from dataclasses import replace
from pathlib import Path

from imgcls import parts
from imgcls.errors import UserError
from imgcls.family import is_family
from imgcls.io import files
from imgcls.models import IMAGENET, ModelSettings
from imgcls.run_lookup import open_run, require_finished
from imgcls.training import model_description
from imgcls.transfer.keras_file import read_keras_file
from imgcls.transfer.weights import TrainedOn, Weights


def require(settings: ModelSettings) -> None:
    """Check that the weights are there, before TensorFlow is imported.

    Raises:
        UserError: they are not, or a folder is not a run.
        DataError: a run is not finished.
    """
    if settings.weights == IMAGENET:
        settings.find_imagenet()
    elif settings.weights is not None:
        _find_file(settings.weights)


def compute_sha256(settings: ModelSettings) -> str | None:
    """Return the SHA-256 of the file that the weights are read from; None without one.

    Raises:
        UserError, DataError: as `require`.
    """
    if settings.weights is None:
        return None
    is_imagenet = settings.weights == IMAGENET
    path = settings.find_imagenet() if is_imagenet else _find_file(settings.weights)
    return None if path is None else files.compute_sha256(path)


def read(settings: ModelSettings) -> Weights:
    """Return the weights.

    Raises:
        UserError: as `require`.
        DataError: the file is damaged, or would run code.
    """
    if settings.weights == IMAGENET:
        weights: Weights = parts.load_for("models", settings).load_imagenet(settings)
        return weights
    given = str(settings.weights)
    path = _find_file(given)
    weights = replace(read_keras_file(path), source=given)
    if not _is_ours(path):
        return weights
    about = model_description.read_description(path)
    trained_on = TrainedOn(about.shape, about.resize)
    return replace(weights, classes=about.classes, trained_on=trained_on, is_complete=True)


def _find_file(given: str) -> Path:
    """Return the file that a path in an experiment means: itself, or the model of a run."""
    path = Path(given).expanduser()
    if not os.path.lexists(path):
        raise UserError(
            f"model.weights: {given} does not exist; give a file (.weights.h5, .keras or legacy"
            f" .h5), the folder of a run such as runs/digits/1, or {IMAGENET} if the model has it"
        )
    if not path.is_dir():
        return path
    if is_family(path):
        raise UserError(f"model.weights: {given} is a family of runs; give the folder of one")
    run = open_run(path)
    require_finished(run)
    if run.model_file != run.keras_file:
        raise UserError(
            f"model.weights: {given} was compressed to a LiteRT file; give the run that it was made"
            " of"
        )
    return run.model_file


def _is_ours(path: Path) -> bool:
    """Return whether imgcls wrote a file, a .keras archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return model_description.MEMBER in archive.namelist()
