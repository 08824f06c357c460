"""The model of a run, loaded for prediction. Heavy zone."""

from dataclasses import dataclass

from imgcls.backend import keras
from imgcls.config import Experiment
from imgcls.datasets import DataSettings, ImageSettings
from imgcls.device import choice
from imgcls.errors import UserError
from imgcls.evaluation import inference
from imgcls.evaluation.litert_model import LiteRTModel
from imgcls.image.decode import Geometry
from imgcls.io import files, terminal
from imgcls.models import HEAD
from imgcls.prediction.unfinished import build_best_model
from imgcls.run import Run
from imgcls.store.file_reader import FileOpener
from imgcls.store.storage import make_storage_of_run
from imgcls.training.precision import set_float32_mode


@dataclass(frozen=True)
class LoadedModel:
    """A model, and what its images are.

    Attributes:
        model: from uint8 images (batch, height, width, channels) to probabilities.
        classes: class names, in the order of the probabilities.
        opener: reads image files as the run's store would.
        identity: SHA-256 of model.keras; of an unfinished run, what its weights are.
    """

    model: keras.Model | LiteRTModel
    classes: list[str]
    opener: FileOpener
    identity: str

    @property
    def geometry(self) -> Geometry:
        """The shape of the model's images, and how they are resized to it."""
        return self.opener.geometry

    def add_features(self) -> keras.Model:
        """Return a model with two outputs: the probabilities, and the features that enter the last
        dense layer.

        Raises:
            UserError: it has no such layer.
        """
        if isinstance(self.model, LiteRTModel):
            raise UserError(
                "--features needs a model of Keras, but this run was compressed to LiteRT; take the"
                " run that it was made of"
            )
        head = next((layer for layer in self.model.layers if layer.name == HEAD), None)
        if not isinstance(head, keras.layers.Dense):
            raise UserError(
                f"--features needs a model that has a last dense layer named '{HEAD}'; this one has"
                " none"
            )
        return keras.Model(self.model.inputs, [self.model.outputs[0], head.input])


def load_model(run: Run, experiment: Experiment) -> LoadedModel:
    """Choose the device that predicts, and load a run's model: its best so far, with a note, if the
    run is not finished.

    Args:
        experiment: that of the run, perhaps with other settings that do not affect training.

    Raises:
        DataError: a file of the run is missing or damaged, or the run has no checkpoint.
        UserError: TensorFlow cannot use the GPUs, or a variable contradicts the precision.
        OutOfMemoryError: the model does not fit the device.
    """
    choice.use_for_prediction(experiment.train.strategy.get_device(), experiment.train.gpu_memory)
    set_float32_mode(experiment.train.precision)
    data, settings = run.data, experiment.data
    resize = settings.resize if isinstance(settings, ImageSettings) else "stretch"
    geometry = Geometry(data.shape, resize)
    if run.status.status == "finished":
        inference.require_same_task(run.model_file, geometry, data.classes, data.fingerprint)
        model = inference.open_model(run.model_file, geometry.shape, len(data.classes))
        identity = files.compute_sha256(run.model_file)
    else:
        model, identity = build_best_model(run)
        terminal.note(
            f"{run.folder} is {run.status.status}, not finished: predicting with its weights of"
            f" {identity}; the probabilities are not calibrated"
        )
    return LoadedModel(model, data.classes, _make_opener(settings, geometry), identity)


def _make_opener(settings: DataSettings, geometry: Geometry) -> FileOpener:
    """Return what reads image files as the store of a data set would.

    Where images do not come from files, files are resized to the shape of the model's images.
    """
    storage = make_storage_of_run(settings, geometry.shape[2])
    default: float = ImageSettings.model_fields["max_megapixels"].default
    largest = settings.max_megapixels if isinstance(settings, ImageSettings) else default
    return FileOpener(storage, geometry, largest)
