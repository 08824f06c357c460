"""Exports a run's model: converts it, compares the artifact, and only then gives it its name. Heavy
zone.
"""

import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy

from imgcls.backend import keras
from imgcls.evaluation import inference
from imgcls.evaluation.compiled_model import count_threads
from imgcls.export import comparison, convert, runtime
from imgcls.export.float32 import to_float32
from imgcls.export.folder import ExportFolder, combine_hashes, get_export_folder
from imgcls.export.images import ComparedImages
from imgcls.export.record import (
    ArtifactDescription,
    AsTrained,
    ExportComparison,
    ExportMetadata,
)
from imgcls.exporters import IMAGES, PROBABILITIES, ExporterSettings
from imgcls.exporters._example import make_example
from imgcls.image.decode import Geometry
from imgcls.io import files
from imgcls.io.records import to_json, write_record
from imgcls.run import Run
from imgcls.train_config import Precision
from imgcls.training.model_description import ModelDescription
from imgcls.training.precision import set_float32_mode


@dataclass(frozen=True)
class Reference:
    """A run's model in float32, and what it predicts.

    Attributes:
        saved_model: the folder with the same as a SavedModel.
        description: of model.keras.
        sha256: of model.keras.
        images: that it was predicted on.
        probabilities: float32 (images, classes).
        trained: the probabilities of model.keras in the precision of the training, float32 (images,
            classes); None if that is float32.
        precision: of the training.
    """

    model: keras.Model
    saved_model: Path
    description: ModelDescription
    sha256: str
    images: ComparedImages
    probabilities: numpy.ndarray
    trained: numpy.ndarray | None
    precision: Precision


@contextmanager
def open_reference(
    run: Run, description: ModelDescription, images: ComparedImages, batch_size: int
) -> Iterator[Reference]:
    """Load a run's model, predict the images, and write it as a SavedModel for the block.

    Raises:
        DataError: model.keras is missing, damaged, or that of another run.
        OutOfMemoryError: memory ran out.
        UserError: the disk is full.
    """
    data, precision = run.data, run.experiment.train.precision
    geometry = Geometry(data.shape, images.reader.geometry.resize)
    inference.require_same_task(run.model_file, geometry, data.classes, data.fingerprint)
    set_float32_mode(precision)
    model = inference.load_model(run.model_file, data.shape, len(data.classes))
    inputs = images.reader, images.indices, batch_size
    trained = None
    if precision != "float32":
        trained = inference.predict_outputs(model, *inputs).astype(numpy.float32)
        model = to_float32(model)
        set_float32_mode("float32")
    probabilities = inference.predict_outputs(model, *inputs)
    with (
        files.explain_errors(run.exports_folder),
        tempfile.TemporaryDirectory(dir=run.exports_folder, prefix=".graph-") as folder,
    ):
        saved_model = Path(folder) / "graph"
        convert.write_saved_model(model, saved_model)
        sha256 = files.compute_sha256(run.model_file)
        yield Reference(
            model, saved_model, description, sha256, images, probabilities, trained, precision
        )


def export_format(run: Run, settings: ExporterSettings, reference: Reference) -> ExportComparison:
    """Write a run's model in a format, with metadata and an example, if it predicts the same.

    Raises:
        GateError: it does not; the result is the comparison, and nothing was written.
        UserError: the format lacks an operation, or the disk is full.
    """
    name, target = settings.name, get_export_folder(run, settings.name)
    description = _describe(settings, reference)
    with files.replace_folder(target.folder) as temporary:
        draft = ExportFolder(temporary)
        artifact = temporary / settings.file_name
        text = to_json(description, indent=2)
        convert.convert(name, reference.model, reference.saved_model, artifact, text)
        compared = _compare(settings, artifact, reference, str(target.folder))
        comparison.require_same(compared)
        sha256 = draft.hash_files(settings.file_name)
        write_record(
            draft.metadata_file,
            ExportMetadata(
                **dict(description),
                artifact=settings.file_name,
                sha256=sha256,
                artifact_sha256=combine_hashes(sha256),
            ),
        )
        write_record(draft.comparison_file, compared)
        files.write_text(draft.example_file, make_example(name))
    return compared


def _describe(settings: ExporterSettings, reference: Reference) -> ArtifactDescription:
    described = reference.description
    packages = ["imgcls", "tensorflow", "keras", *settings.packages]
    return ArtifactDescription(
        format=settings.name,
        input=IMAGES,
        shape=described.shape,
        dtype="uint8",
        resize=described.resize,
        output=PROBABILITIES,
        classes=described.classes,
        temperature=described.calibration.temperature,
        precision="float32",
        fingerprint=described.fingerprint,
        model_sha256=reference.sha256,
        versions={
            "python": platform.python_version(),
            **{each: metadata.version(each) for each in packages},
        },
    )


def _compare(
    settings: ExporterSettings, artifact: Path, reference: Reference, folder: str
) -> ExportComparison:
    """Compare an artifact with its model, in its own runtime."""
    threads = count_threads()
    predict = runtime.open_runtime(settings.name, artifact, threads)
    images = reference.images
    after = runtime.predict(predict, images.reader, images.indices)
    fields: dict[str, Any] = {
        **comparison.measure_difference(reference.probabilities, after),
        "largest_sum_error": comparison.measure_sums(after),
        "largest_batch_difference": runtime.compare_batches(predict, images, after),
    }
    as_trained = None
    if reference.trained is not None:
        differences = comparison.measure_difference(reference.trained, after)
        as_trained = AsTrained(precision=reference.precision, **differences)
    return ExportComparison(
        folder=folder,
        format=settings.name,
        reference="the model" if as_trained is None else "the model in float32",
        images_from=images.source,
        split=images.split,
        images=len(images.indices),
        threads=threads,
        **fields,
        recall=comparison.compare_recall(
            reference.probabilities, after, images.labels, reference.description.classes
        ),
        as_trained=as_trained,
        failed=comparison.find_failures(fields),
    )
