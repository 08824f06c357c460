"""Applies the methods of a compression, and writes the model. Heavy zone."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imgcls import __version__, environment, parts
from imgcls.backend import keras, tf
from imgcls.compression import folders
from imgcls.compression.context import Context, FineTune, RunData
from imgcls.compression.networks import count_network, load_logits
from imgcls.compression.record import Compression, CompressionStep, read_compression
from imgcls.compressors import CompressorSettings
from imgcls.config import Experiment
from imgcls.evaluation import inference
from imgcls.image.decode import Geometry
from imgcls.input.batches import make_examples
from imgcls.io import files, terminal
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.training import model_file, temperature
from imgcls.training.model_description import ModelDescription, read_description
from imgcls.training.precision import set_float32_mode


def apply(
    original: Run,
    result: Run,
    experiment: Experiment,
    methods: Sequence[CompressorSettings],
    train: FineTune,
) -> None:
    """Apply methods to a run's network, one after the other, and write the model of the result.

    Args:
        experiment: that of the original, perhaps with another `data.store_dir`.
        train: trains a network in a folder.

    Raises:
        DataError: a file of the original is missing or damaged, or a method needs data that is.
        UserError: a method cannot be applied, or the disk is full.
        OutOfMemoryError: memory ran out.
        Interrupted: a signal stopped a training; its state is saved.
    """
    description = read_description(original.model_file)
    data = original.data
    inference.require_same_task(
        original.model_file,
        Geometry(data.shape, description.resize),
        data.classes,
        data.fingerprint,
    )
    set_float32_mode(experiment.train.precision)
    made = read_compression(result.compression_file)
    context = Context(
        model=load_logits(original),
        original=original,
        result=result,
        experiment=experiment,
        description=description,
        method=methods[0].name,
        number=1,
        run_data=RunData(original, experiment),
        train=train,
    )
    runner = _Runner(context, made)
    for settings in methods:
        terminal.note(f"{result.folder}: {settings.name}")
        runner.apply(settings)
    runner.finish()


class _Runner:
    """The state of a chain: the network so far, and what was done to it."""

    def __init__(self, context: Context, made: Compression):
        self._context = context
        self._made = made
        self._steps: list[CompressionStep] = []
        self._trained: Run | None = None
        self._changed = False
        self._is_written = False

    def apply(self, settings: CompressorSettings) -> None:
        """Apply one method."""
        part = parts.load_for("compressors", settings)
        context = replace(self._context, method=settings.name)
        if settings.is_last:
            context = replace(context, description=self._describe(context.model))
            details = part.convert(settings, context, context.result.litert_file)
            self._is_written = True
        else:
            found = part.compress(settings, context)
            details, self._trained = found.details, found.trained or self._trained
            self._changed |= settings.changes_predictions
            self._context = context.follow(found.model, settings.name)
        own = settings.model_dump(mode="json")
        self._steps.append(CompressionStep(settings=own, details=details))

    def _describe(self, model: keras.Model) -> ModelDescription:
        """Return the description of the network, with its temperature.

        It is fitted again if the network predicts something else than the original.
        """
        context = self._context
        described = context.description
        calibration, soup = described.calibration, described.soup
        if self._changed:
            store, assigned = context.data
            validation = make_examples(store, assigned, "validation")
            calibration = temperature.calibrate(model, validation, context.experiment.train)
        if self._trained:
            soup = None
        own = {"calibration": calibration, "soup": soup, "imgcls": __version__}
        return described.model_copy(update=own)

    def finish(self) -> None:
        """Write the model, if the last method has not, and the records of the run."""
        result, model = self._context.result, self._context.model
        if not self._is_written:
            described = self._describe(model)
            serving = model_file.make_serving_model(model, described.calibration.temperature)
            model_file.save_model(serving, described, result.keras_file)
        write_record(
            result.compression_file,
            self._made.model_copy(update={"steps": self._steps, "network": count_network(model)}),
        )
        if self._trained:
            files.write_text(result.config_file, self._trained.experiment.to_yaml())
            folders.copy_training(self._trained, result)
            result.write_status("running", step=self._trained.status.step)
        devices = [device.name for device in tf.config.list_logical_devices()]
        runtime = environment.read_runtime()
        seed = self._context.experiment.seed
        write_record(
            result.environment_file, environment.describe(seed, devices, runtime, [], None)
        )


def remove_trainings(result: Run) -> None:
    """Remove the folders in which networks were trained; a finished run needs none."""
    for path in _list_trainings(result):
        shutil.rmtree(path, ignore_errors=True)


def _list_trainings(result: Run) -> list[Path]:
    stem = result.training_folder(1, 1).name.partition("1")[0]
    return [path for path in result.folder.glob(f"{stem}*") if path.is_dir()]
