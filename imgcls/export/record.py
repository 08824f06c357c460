"""The records beside an exported artifact: what it is, and how it was compared. Light zone."""

from typing import Annotated, Any, Literal

from pydantic import Field

from imgcls.image.decode import Resize
from imgcls.io.records import Record, Shape
from imgcls.metrics import Number
from imgcls.train_config import Precision

LEAST_AGREEMENT = 0.999
"""The fraction of images for which an artifact must predict the same class as the model."""
LARGEST = {
    "largest_difference": 1e-3,
    "largest_sum_error": 1e-5,
    "largest_batch_difference": 1e-4,
}
"""The limits of other numbers of a comparison. Runtimes round differently, by about 1e-6; without
the temperature, say, the classes agree, and the probabilities do not."""

ArtifactPrecision = Literal["float32", "float16", "dynamic", "int8"]
"""That of an artifact: float32, or the type by which its run was quantized."""


def list_limits(precision: ArtifactPrecision) -> dict[str, float]:
    """Return the limits of an artifact: the softmax of int8 has steps of 1/256, and no sum of 1."""
    limits = dict(LARGEST)
    if precision == "int8":
        del limits["largest_sum_error"]
    return limits


class ArtifactDescription(Record):
    """What a program needs to know of an artifact; formats that have a place for it contain it."""

    format: str
    """The exporter: saved_model, litert, onnx or openvino."""
    input: str
    """The name of the input: images as they were resized for training, without any scaling."""
    shape: Shape
    """Height, width and channels of the images, in pixels; a batch may have any number of them."""
    dtype: Literal["uint8"]
    """The type of the pixels, 0..255."""
    resize: Resize
    """How photos are resized to that shape: pad, crop or stretch."""
    output: str
    """The name of the output: calibrated probabilities, float32 (batch, classes)."""
    classes: Annotated[list[str], Field(min_length=1)]
    """Class names, in the order of the probabilities."""
    temperature: Annotated[float, Field(gt=0)]
    """The temperature by which the artifact divides its logits."""
    precision: ArtifactPrecision
    """The type of the weights and of the computation, whatever the model was trained in: float32;
    or of a quantized run, float16, dynamic or int8."""
    fingerprint: str
    """Fingerprint of the store that the model was trained on."""
    model_sha256: str
    """The SHA-256 of the model.keras that was converted, or of the compressed.tflite that was
    copied."""
    versions: dict[str, str]
    """Versions of imgcls, TensorFlow, Keras, and the packages that converted and compared."""


class ExportMetadata(ArtifactDescription):
    """The description of an artifact, and what its files are."""

    artifact: str
    """The name of the artifact, a file or a folder beside metadata.json."""
    sha256: Annotated[dict[str, str], Field(min_length=1)]
    """SHA-256 of each file of the artifact, by its path relative to metadata.json."""
    artifact_sha256: str
    """The SHA-256 of the whole: that of its file, or, of several, that of the lines that
    `sha256sum` prints of them, sorted by path."""


class AsTrained(Record):
    """The artifact beside model.keras in the precision that it was trained in."""

    precision: Precision
    """The precision of the training."""
    agreement: Annotated[float, Field(ge=0, le=1)]
    """Fraction of the images for which both predict the same class."""
    largest_difference: Annotated[float, Field(ge=0)]
    """Largest absolute difference between two probabilities."""


class ClassRecall(Record):
    """The recall of a class before and after the conversion."""

    name: str
    """The name of the class."""
    images: Annotated[int, Field(ge=0)]
    """The number of its images."""
    before: Number
    """The recall of model.keras, 0..1; null without images."""
    after: Number
    """The recall of the artifact, 0..1; null without images."""


class ExportComparison(Record):
    """The comparison of an artifact, in its own runtime, with model.keras."""

    folder: str
    """The folder of the export."""
    format: str
    """The exporter."""
    reference: Literal["the model", "the model in float32"]
    """What the artifact was compared with: model.keras; or, if that was trained in another
    precision, its weights, with all layers computed in float32."""
    images_from: Literal["store", "sample"]
    """Where the images are from: the store; or the sample that the run keeps, if the store is gone.
    """
    precision: ArtifactPrecision
    """The precision of the artifact."""
    split: Literal["validation", "train"]
    """The split of the images: validation, or train if the validation split is empty."""
    images: Annotated[int, Field(ge=1)]
    """The number of images."""
    threads: Annotated[int, Field(ge=1)]
    """The number of threads of the runtime."""
    agreement: Annotated[float, Field(ge=0, le=1)]
    """Fraction of the images for which both predict the same class."""
    largest_difference: Annotated[float, Field(ge=0)]
    """Largest absolute difference between two probabilities."""
    largest_sum_error: Annotated[float, Field(ge=0)]
    """Largest absolute difference between 1 and the sum of an image's probabilities."""
    largest_batch_difference: Annotated[float, Field(ge=0)]
    """Largest absolute difference between the probabilities of an image in batches of 1, 7 and 64,
    over the first 64 images."""
    recall: list[ClassRecall]
    """The recall of each class, in label order."""
    as_trained: AsTrained | None
    """The same for the precision of the training; null if that is float32."""
    failed: list[str]
    """The limits that were not kept, one sentence each; nothing was then exported."""

    def make_rows(self) -> list[dict[str, Any]]:
        """Return a table of the numbers, each with its limit."""
        least = {"number": "agreement", "value": self.agreement, "limit": f">= {LEAST_AGREEMENT}"}
        return [
            least,
            *[
                {"number": name, "value": getattr(self, name), "limit": f"<= {limit:g}"}
                for name, limit in list_limits(self.precision).items()
            ],
        ]
