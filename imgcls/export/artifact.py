"""An exported artifact that is evaluated: the checks before, and its predictions. Light zone."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgcls import parts
from imgcls.config import Experiment
from imgcls.datasets import SplitName
from imgcls.device import choice
from imgcls.errors import DataError, UserError
from imgcls.evaluation import predictions, predictor
from imgcls.evaluation.predictions import Predictions
from imgcls.export.folder import ExportFolder
from imgcls.export.record import ExportMetadata
from imgcls.io import files
from imgcls.run import Run
from imgcls.store import lookup, reader_pool


@dataclass(frozen=True)
class Artifact:
    """An artifact of a run's current model, with its folder and what its metadata.json says."""

    path: Path
    folder: ExportFolder
    metadata: ExportMetadata


def open_artifact(path: Path, run: Run) -> Artifact:
    """Return an artifact, after checking that it is what was exported from a run's model.

    Raises:
        UserError: the path is not an artifact, or its format needs an extra.
        DataError: it was exported from another model, or changed since.
    """
    folder = ExportFolder(path.parent)
    if not path.exists() or not os.path.lexists(folder.metadata_file):
        _refuse(path, run)
    metadata = folder.read_metadata()
    if metadata.artifact != path.name:
        raise UserError(
            f"{path} is not the artifact that {folder.metadata_file} describes; give"
            f" {folder.folder / metadata.artifact}"
        )
    advice = f"run `imgcls export {run.folder} --format {metadata.format}` again"
    if metadata.model_sha256 != files.compute_sha256(run.model_file):
        raise DataError(f"{path} was exported from another model than {run.model_file}; {advice}")
    _require_unchanged(folder, metadata, advice)
    if metadata.format not in parts.list_names("exporters"):
        raise UserError(f"{folder.metadata_file} names an unknown format, '{metadata.format}'")
    parts.make_default_settings("exporters", metadata.format).require_packages()
    return Artifact(path, folder, metadata)


def _refuse(path: Path, run: Run) -> None:
    """Raise the error for a path that is not an artifact, with the run's artifacts."""
    reason = "has no metadata.json beside it" if path.exists() else "does not exist"
    found = [ExportFolder(each.parent) for each in run.exports_folder.glob("*/metadata.json")]
    names = [str(each.folder / each.read_metadata().artifact) for each in found]
    advice = f"give one of {', '.join(sorted(names))}" if names else "run `imgcls export` first"
    raise UserError(f"{path} is not an exported artifact: it {reason}; {advice}")


def _require_unchanged(folder: ExportFolder, metadata: ExportMetadata, advice: str) -> None:
    """Check the SHA-256 of an artifact's files.

    Raises:
        DataError: one was changed, or is missing or new.
    """
    now: dict[str, Any] = folder.hash_files(metadata.artifact)
    changed = sorted(name for name in now | metadata.sha256 if _differs(name, now, metadata))
    if changed:
        raise DataError(
            f"{folder.folder / changed[0]} was changed, added or removed after the export; {advice}"
        )


def _differs(name: str, now: dict[str, Any], metadata: ExportMetadata) -> bool:
    return now.get(name) != metadata.sha256.get(name)


def find_or_predict(
    artifact: Artifact, run: Run, experiment: Experiment, split: SplitName
) -> Predictions:
    """Return an artifact's predictions on a split of its run, the saved ones or new ones.

    Raises:
        DataError: there are none, and the store is missing, or changed before or while it is read.
        DivergenceError: the artifact predicts probabilities that are not finite.
        UserError: the runtime cannot open it.
    """
    model = artifact.metadata.artifact_sha256
    saved = predictions.find_saved(artifact.folder, split, run.data, model)
    return saved or _predict(artifact, run, experiment, split)


def _predict(artifact: Artifact, run: Run, experiment: Experiment, split: SplitName) -> Predictions:
    """Predict every image of a split in the artifact's runtime, and save the predictions."""
    store, assigned = lookup.open_run_store(run.data, experiment.data.store_dir)

    from imgcls.evaluation.compiled_model import count_threads
    from imgcls.export import runtime

    choice.use_for_prediction(experiment.train.strategy.get_device(), experiment.train.gpu_memory)
    metadata, indices = artifact.metadata, assigned.get_indices(split)
    predict = runtime.open_runtime(metadata.format, artifact.path, count_threads())
    reader = reader_pool.open_reader(store, assigned.geometry, experiment.train.data_workers)
    with store.change_detector.guard(), contextlib.closing(reader):
        made = Predictions(
            probabilities=runtime.predict(predict, reader, indices),
            labels=store.labels[indices],
            ids=store.get_ids(indices),
            classes=metadata.classes,
            model=metadata.artifact_sha256,
            temperature=metadata.temperature,
        )
        predictor.require_finite(made, artifact.path)
    predictions.save(made, artifact.folder.predictions_file(split))
    return made
