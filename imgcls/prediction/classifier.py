"""A run's model that predicts on new images, in Python and for `imgcls predict`. Heavy zone."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from imgcls.backend import tf
from imgcls.config import Experiment, Tta
from imgcls.errors import DivergenceError, OutOfMemoryError, UserError
from imgcls.evaluation import tta
from imgcls.evaluation.compiled_model import BATCHES_AHEAD, READING_THREADS, CompiledModel
from imgcls.evaluation.inference import compile_model
from imgcls.evaluation.litert_model import LiteRTModel
from imgcls.io import terminal, threads
from imgcls.io.terminal import to_printable
from imgcls.prediction.arrays import CHANNELS, read_array
from imgcls.prediction.batches import Batch, divide, form_batches
from imgcls.prediction.inputs import Input
from imgcls.prediction.loaded_model import LoadedModel, load_model
from imgcls.prediction.result import PredictionResult
from imgcls.run_lookup import open_run
from imgcls.store.file_reader import FileReaderPool
from imgcls.training import micro_batches


@dataclass(frozen=True)
class PredictedBatch:
    """The predictions of some images, in their order.

    Attributes:
        inputs: the images, those that cannot be read among them.
        probabilities: of the others, float32 (images, classes).
        features: that entered the last dense layer, float32 (images, n); None unless asked for.
    """

    inputs: list[Input]
    probabilities: numpy.ndarray
    features: numpy.ndarray | None


class Classifier:
    """A run's model, which predicts on image files as `eval` does on the images of a store.

    Args:
        batch_size: images per step; that of the training unless given.
        method: of test-time augmentation; None for none.
        with_features: whether the features that enter the last dense layer are wanted, too.

    Attributes:
        classes: class names, in the order of the probabilities.
        shape: height, width and channels of the model's images.
        identity: SHA-256 of model.keras; of an unfinished run, what its weights are.
        batch_size: images per step; smaller than asked for after memory ran out.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        experiment: Experiment,
        batch_size: int | None = None,
        method: Tta | None = None,
        with_features: bool = False,
    ):
        tf.config.experimental.enable_op_determinism()  # as in `eval`
        self.classes, self.shape = loaded.classes, loaded.geometry.shape
        self.identity = loaded.identity
        self._opener = loaded.opener
        self._model = loaded.add_features() if with_features else loaded.model
        self._method = method
        self.batch_size = batch_size or experiment.train.batch_size
        self._compiled: CompiledModel | LiteRTModel | None = None
        self._has_predicted = False
        self._reader = FileReaderPool(loaded.opener, experiment.train.data_workers)

    def predict(
        self, images: "Sequence[str | os.PathLike[str] | numpy.ndarray] | numpy.ndarray"
    ) -> PredictionResult:
        """Predict on image files, or on arrays.

        Args:
            images: paths of files; or arrays, uint8 (height, width, channels), or (height, width)
                for one channel, each of any size; or one array (images, height, width, channels).
                Files go through what `prepare` does to the images of the run's data set, and
                arrays of another size than the model's do as if they were saved as PNG files.

        Returns:
            The predictions, in the order of the images. A file that cannot be read has no
            probabilities, but an error.

        Raises:
            UserError: an array has another dtype or other channels.
            DivergenceError: the model predicts probabilities that are not finite.
            OutOfMemoryError: a single image does not fit the device.
        """
        if isinstance(images, str | bytes | os.PathLike):
            raise UserError(f"predict takes several images; give a list: predict([{images!r}])")
        given = list(images)
        paths = [os.fspath(each) for each in given if isinstance(each, str | os.PathLike)]
        if paths and len(paths) < len(given):
            raise UserError("give either paths or arrays, not both in one call")
        batches = self.predict_files(map(Input, paths)) if paths else self._predict_arrays(given)
        return PredictionResult.join(self.classes, batches)

    def predict_files(self, inputs: Iterable[Input]) -> Iterator[PredictedBatch]:
        """Predict on image files, with a few batches in memory at a time.

        Raises:
            UserError: the model's images have channels that files do not have; and as `predict`.
        """
        if self.shape[2] not in CHANNELS:
            raise UserError(
                f"this model's images have {self.shape[2]} channels, but image files are decoded to"
                f" {', '.join(map(str, CHANNELS))}; predict on arrays in Python, with imgcls.load"
            )
        read = threads.map_parallel(
            self._read_files, divide(inputs, self.batch_size), READING_THREADS, BATCHES_AHEAD
        )
        with contextlib.closing(read):
            for batch in form_batches(read, self.batch_size):
                yield self._predict_batch(batch)

    def _read_files(self, inputs: list[Input]) -> Batch:
        wanted = [each for each in inputs if each.problem is None]
        images, problems = self._reader.read([each.path for each in wanted])
        found = iter(problems)
        named = [each if each.problem else Input(each.path, next(found)) for each in inputs]
        if any(problems):
            images = images[[problem is None for problem in problems]]
        return Batch(named, images)

    def _predict_arrays(self, given: Sequence[numpy.ndarray]) -> Iterator[PredictedBatch]:
        for chunk in divide(enumerate(given), self.batch_size):
            images = [read_array(each, str(i), self._opener) for i, each in chunk]
            inputs = [Input(str(i)) for i, _ in chunk]
            yield self._predict_batch(Batch(inputs, numpy.stack(images)))

    def predict_images(self, images: numpy.ndarray) -> numpy.ndarray:
        """Return the probabilities of images of the model's shape, at most a batch.

        Args:
            images: uint8 (images, height, width, channels).

        Returns:
            float32 (images, classes).
        """
        return self._compute(images)[0]

    def _predict_batch(self, batch: Batch) -> PredictedBatch:
        if not len(batch.images):
            outputs = [] if isinstance(self._model, LiteRTModel) else self._model.outputs
            width = outputs[-1].shape[-1] if len(outputs) > 1 else None
            features = None if width is None else numpy.zeros((0, width), numpy.float32)
            empty = numpy.zeros((0, len(self.classes)), numpy.float32)
            return PredictedBatch(batch.inputs, empty, features)
        probabilities, *rest = self._compute(batch.images)
        self._require_finite(batch, probabilities)
        return PredictedBatch(batch.inputs, probabilities, rest[0] if rest else None)

    def _compute(self, images: numpy.ndarray) -> list[numpy.ndarray]:
        """Return probabilities, and features if they are wanted, of the images of a batch."""
        plain, *rest = self._run(images)
        if self._method is None:
            return [plain, *rest]
        views = tta.list_views([self._method])
        others = ((view, self._run(tta.show(images, view))[0]) for view in views)
        return [tta.average([self._method], plain, others)[self._method], *rest]

    def _run(self, images: numpy.ndarray) -> list[numpy.ndarray]:
        """Return the model's outputs, float32; in smaller batches if memory runs out in the first.

        Raises:
            OutOfMemoryError: it runs out later, when the size of the batches must not change
                anymore, or with one image.
        """
        while True:
            try:
                self._compiled = self._compiled or compile_model(self._model, self.batch_size)
                size = self.batch_size
                found = [
                    self._compiled.predict(images[start : start + size])
                    for start in range(0, len(images), size)
                ]
                self._has_predicted = True
                parts = zip(*found, strict=True)
                return [numpy.concatenate(each).astype(numpy.float32) for each in parts]
            except tf.errors.OpError as error:
                if not micro_batches.is_out_of_memory(error, is_single=True):
                    raise
                self._shrink_batches(micro_batches.extract_reason(error))

    def _shrink_batches(self, reason: str) -> None:
        if self._has_predicted or self.batch_size == 1:
            raise OutOfMemoryError(
                f"out of memory with batches of {self.batch_size} images ({reason}); choose a"
                " smaller --batch-size, or stop other programs on the device"
            ) from None
        self.batch_size, self._compiled = -(-self.batch_size // 2), None
        terminal.note(f"out of memory; predicting in batches of {self.batch_size}")

    def _require_finite(self, batch: Batch, probabilities: numpy.ndarray) -> None:
        broken = numpy.flatnonzero(~numpy.isfinite(probabilities).all(axis=1))
        if broken.size:
            read = [each.path for each in batch.inputs if each.problem is None]
            raise DivergenceError(
                "the model predicts probabilities that are not finite, first for"
                f" {to_printable(read[broken[0]])}; train again with a lower learning rate or in"
                " float32"
            )

    def close(self) -> None:
        """End the data workers; files cannot be predicted afterwards."""
        self._reader.close()


def load(folder: str | os.PathLike[str], batch_size: int | None = None) -> Classifier:
    """Load the model of a run folder; of an unfinished run, its best weights so far, with a note.

    Args:
        batch_size: images per step; that of the training unless given, with which the results are
            those of `imgcls eval` bit for bit.

    Raises:
        UserError: the folder is not a run; and as `load_model`.
        DataError: another version of imgcls wrote the run; and as `load_model`.
    """
    run = open_run(Path(folder))
    run.require_format()
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size must be at least 1; got {batch_size}")
    experiment = run.experiment
    return Classifier(load_model(run, experiment), experiment, batch_size)
