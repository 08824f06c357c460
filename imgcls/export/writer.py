"""Exports a run's model: converts it, compares the artifact, and only then gives it its name. Heavy
zone.
"""

import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy

from imgcls.compression.record import read_compression
from imgcls.evaluation import inference
from imgcls.evaluation.compiled_model import count_threads
from imgcls.export import comparison, convert, runtime
from imgcls.export.float32 import to_float32
from imgcls.export.folder import ExportFolder, combine_hashes, get_export_folder
from imgcls.export.images import ComparedImages
from imgcls.export.record import (
    ArtifactDescription,
    ArtifactPrecision,
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
    """A run's model in float32, or as it was quantized, and what it predicts.

    Attributes:
        write: writes it as an artifact of a format, with its description as JSON text.
        description: of the model's file.
        sha256: of that file.
        artifact_precision: of what `write` writes.
        images: that it was predicted on.
        probabilities: float32 (images, classes).
        trained: the probabilities of model.keras in the precision of the training, float32 (images,
            classes); None if that is float32.
        precision: of the training.
    """

    write: Callable[[str, Path, str], None]
    description: ModelDescription
    sha256: str
    artifact_precision: ArtifactPrecision
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
        DataError: its file is missing, damaged, or that of another run.
        OutOfMemoryError: memory ran out.
        UserError: the disk is full.
    """
    data = run.data
    geometry = Geometry(data.shape, images.reader.geometry.resize)
    inference.require_same_task(run.model_file, geometry, data.classes, data.fingerprint)
    sha256 = files.compute_sha256(run.model_file)
    inputs = images.reader, images.indices, batch_size
    if run.model_file == run.litert_file:
        model = inference.open_model(run.model_file, data.shape, len(data.classes))
        probabilities = inference.predict_outputs(model, *inputs)
        yield _refer_to_file(run, description, images, sha256, probabilities)
        return
    precision = run.experiment.train.precision
    set_float32_mode(precision)
    model = inference.load_model(run.model_file, data.shape, len(data.classes))
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

        def write(name: str, artifact: Path, text: str) -> None:
            convert.convert(name, model, saved_model, artifact, text)

        yield Reference(
            write, description, sha256, "float32", images, probabilities, trained, precision
        )


def _refer_to_file(
    run: Run,
    description: ModelDescription,
    images: ComparedImages,
    sha256: str,
    probabilities: numpy.ndarray,
) -> Reference:
    """Return the reference of a quantized run, whose artifact is a copy of its file."""
    made = read_compression(run.compression_file)

    def copy(name: str, artifact: Path, text: str) -> None:
        shutil.copyfile(run.model_file, artifact)

    kind = cast(ArtifactPrecision, made.steps[-1].settings["type"])
    return Reference(copy, description, sha256, kind, images, probabilities, None, "float32")


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
        reference.write(name, artifact, text)
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
        precision=reference.artifact_precision,
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
        precision=reference.artifact_precision,
        failed=comparison.find_failures(fields, reference.artifact_precision),
    )
