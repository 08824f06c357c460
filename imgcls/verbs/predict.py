"""The verb `predict`: predicts the classes of image files with a run's model. Light zone.

TensorFlow is imported once it is clear that there is something to predict.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from imgcls.config import Experiment
from imgcls.errors import DataError, UserError
from imgcls.evaluation.conformal import PredictionSets
from imgcls.io import files, terminal
from imgcls.io.terminal import IMAGES, to_printable
from imgcls.prediction import sets
from imgcls.prediction.features import FeatureWriter, open_features
from imgcls.prediction.inputs import Input, Inputs, note_ignored
from imgcls.prediction.options import PredictOptions
from imgcls.prediction.parquet import ParquetWriter, import_pyarrow
from imgcls.prediction.rows import PredictionRow, RowMaker
from imgcls.prediction.writers import (
    CsvWriter,
    JsonLinesWriter,
    JsonWriter,
    TableWriter,
    Writer,
)
from imgcls.run import Run

if TYPE_CHECKING:
    from imgcls.prediction.classifier import Classifier, PredictedBatch

_WRITERS: dict[str, Callable[[IO[bytes], RowMaker], Writer]] = {
    "table": TableWriter,
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "json": JsonWriter,
    "parquet": ParquetWriter,
}
_MAX_SHOWN = 5
"""Images that cannot be read whose problems are repeated at the end."""


@dataclass
class _Outcome:
    """What became of the images so far."""

    images: int = 0
    errors: list[Input] = field(default_factory=list)
    error_count: int = 0
    accepted: int = 0

    def add(self, inputs: list[Input], rows: list[PredictionRow]) -> None:
        """Count images."""
        self.accepted += sum(row.accepted is True for row in rows)
        failed = [each for each in inputs if each.problem]
        self.images += len(inputs)
        self.error_count += len(failed)
        self.errors = [*self.errors, *failed][:_MAX_SHOWN]

    def require_no_errors(self) -> None:
        """Raise a `DataError` if images could not be read."""
        if not self.error_count:
            return
        lines = [f"{to_printable(each.path)}: {each.problem}" for each in self.errors]
        rest = terminal.list_rest(self.error_count, len(lines))
        raise DataError(
            f"{self.error_count:,} of {self.images:,} images could not be read, and have an error"
            f" in place of a prediction:\n{terminal.format_lines([*lines, *rest])}"
        )


def predict(
    run: Run,
    experiment: Experiment,
    inputs: Inputs,
    options: PredictOptions,
    stdout: IO[bytes],
) -> None:
    """Predict the classes of image files, and write a row for each as it comes, in their order.

    With the same batch size, the probabilities are those of `eval` for the same images in the same
    order, bit for bit.

    Args:
        experiment: that of the run, perhaps with other settings that do not affect training.
        stdout: where the rows go without an output file.

    Raises:
        UserError: there is nothing to predict, an option is not valid, or a file cannot be written.
        DataError: a file of the run is missing or damaged, or images could not be read; their rows
            then have an error, and all others a prediction.
        DivergenceError: the model predicts probabilities that are not finite.
        OutOfMemoryError: a single image does not fit the device.
    """
    options.require_valid(run.data.classes)
    sets.require_validation(run, options)
    if options.format == "parquet":
        import_pyarrow()
    waiting = _require_any(inputs)
    outcome = _Outcome()
    with (
        _open_output(options.output, stdout) as stream,
        open_features(options.features) as features,
        _open_classifier(run, experiment, options) as classifier,
    ):
        calibrated = sets.calibrate_sets(run, experiment, classifier, options)
        maker = RowMaker(classifier.classes, options, calibrated)
        writer = _WRITERS[options.format](stream, maker)
        with _show_progress(inputs, options, stdout) as advance:
            for batch in classifier.predict_files(waiting):
                rows = maker.make(batch.inputs, batch.probabilities)
                writer.write(rows)
                stream.flush()
                _write_features(features, batch)
                outcome.add(batch.inputs, rows)
                advance(len(batch.inputs))
        writer.finish(_summarize(run, classifier, outcome, calibrated))
    note_ignored(inputs)
    _note_end(run, options, outcome)
    outcome.require_no_errors()


def _require_any(inputs: Inputs) -> Iterator[Input]:
    """Return the images, after checking that there is one."""
    iterator = iter(inputs)
    first = next(iterator, None)
    if first is None:
        raise UserError(
            "there is nothing to predict; give files, folders, patterns, or - for stdin"
        )
    return itertools.chain([first], iterator)


@contextlib.contextmanager
def _open_output(path: Path | None, stdout: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield where rows go: a file that appears at the end of the block, or stdout."""
    if path is None:
        yield stdout
        stdout.flush()
        return
    with files.replace_file(path) as stream:
        yield stream


@contextlib.contextmanager
def _open_classifier(
    run: Run, experiment: Experiment, options: PredictOptions
) -> "Iterator[Classifier]":
    from imgcls.prediction.classifier import Classifier
    from imgcls.prediction.loaded_model import load_model

    classifier = Classifier(
        load_model(run, experiment),
        experiment,
        options.batch_size,
        method=options.tta,
        with_features=options.features is not None,
    )
    with contextlib.closing(classifier):
        yield classifier


def _write_features(features: FeatureWriter | None, batch: "PredictedBatch") -> None:
    if features is not None and batch.features is not None:
        read = [each.path for each in batch.inputs if not each.problem]
        features.write(read, batch.features)


@contextlib.contextmanager
def _show_progress(
    inputs: Inputs, options: PredictOptions, stdout: IO[bytes]
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar, unless rows appear on the same terminal as they come."""
    if options.format != "table" and not options.output and stdout.isatty():
        yield lambda count: None
        return
    total = inputs.count() if terminal.is_terminal() else None
    with terminal.show_bar(total, "predict", IMAGES) as advance:
        yield advance


def _summarize(
    run: Run, classifier: "Classifier", outcome: _Outcome, calibrated: PredictionSets | None
) -> dict[str, Any]:
    """Return what a JSON object has besides the predictions."""
    summary = {
        "run": str(run.folder),
        "model": classifier.identity,
        "classes": classifier.classes,
        "images": outcome.images,
        "errors": outcome.error_count,
    }
    if calibrated:
        summary |= {"coverage": calibrated.coverage, "calibration_images": calibrated.images}
    return summary


def _note_end(run: Run, options: PredictOptions, outcome: _Outcome) -> None:
    """Print notes on what was written, and on what may come next."""
    predicted = outcome.images - outcome.error_count
    if options.output:
        terminal.note(f"{options.output} has {outcome.images:,} rows, {predicted:,} predicted")
    if options.features:
        terminal.note(f"{options.features} has the features of {predicted:,} images")
    if options.threshold is not None:
        terminal.note(
            f"{outcome.accepted:,} of {predicted:,} predictions are accepted: their probability is"
            f" {options.threshold:g} or more"
        )
    finished = run.status.status == "finished"
    if options.format == "table" and finished and not os.path.lexists(run.metrics_file("test")):
        terminal.note(
            f"how often the model is right is not known yet: run `imgcls eval {run.folder}`"
        )
