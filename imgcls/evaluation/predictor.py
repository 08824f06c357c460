"""Predictions of a run's model on a split: saved ones, or new ones, which it saves. Light zone.

TensorFlow is imported only if there are no saved predictions.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.config import Experiment, Tta
from imgcls.datasets import SplitName
from imgcls.device import choice
from imgcls.errors import DataError, DivergenceError
from imgcls.evaluation import predictions, tta
from imgcls.evaluation.predictions import Predictions
from imgcls.evaluation.tta import View
from imgcls.io import files, terminal
from imgcls.run import Run
from imgcls.store import lookup, reader_pool
from imgcls.store.store import Store
from imgcls.training.model_description import read_description

if TYPE_CHECKING:
    import numpy


def find_or_predict(run: Run, experiment: Experiment, split: SplitName) -> Predictions:
    """Return the predictions of the run's model on a split, the saved ones or new ones.

    Raises:
        DataError: there are none, and the store is missing, or changed before or while it is read.
        DivergenceError: the model predicts probabilities that are not finite.
    """
    return predictions.find_current(run, split) or _predict(run, experiment, split)


def add_validation(
    found: Predictions, run: Run, experiment: Experiment, split: SplitName
) -> Predictions:
    """Add the model's predictions on the validation split, as `add_validation_of` does."""
    return add_validation_of(
        lambda: find_or_predict(run, experiment, "validation"), found, run, experiment, split
    )


def add_validation_of(
    find: Callable[[], Predictions],
    found: Predictions,
    run: Run,
    experiment: Experiment,
    split: SplitName,
) -> Predictions:
    """Add predictions on the validation split, if a metric chooses thresholds there.

    Without them, what depends on the thresholds is undefined, and a note says why.

    Args:
        find: returns them, or raises a `DataError`.
    """
    names = [each.name for each in experiment.evaluate.metrics if each.needs_validation]
    if not names or split == "validation":
        return found
    note = f"no thresholds for {', '.join(names)}, which are chosen on the validation split"
    if not run.data.sizes["validation"]:
        terminal.note(f"{note}: it has no images")
        return found
    try:
        validation = find()
    except DataError as error:
        terminal.note(f"{note}: {error}")
        return found
    return replace(found, validation=validation)


def find_or_average(
    run: Run, experiment: Experiment, split: SplitName, plain: Predictions
) -> dict[Tta, Predictions]:
    """Return the predictions with each method of `evaluate.tta`, the saved ones or new ones.

    Args:
        plain: the predictions without it.
    """
    names = experiment.evaluate.tta
    saved = {name: predictions.find_current(run, split, name) for name in names}
    missing = [name for name, found in saved.items() if found is None]
    made: dict[Tta, Predictions] = {}
    if missing:
        views = tta.list_views(missing)
        with _open_probabilities(run, experiment, split, views) as (_, _, probabilities):
            averages = tta.average(
                missing, plain.probabilities, zip(views, probabilities, strict=True)
            )
            for name, average in averages.items():
                made[name] = replace(plain, probabilities=average, temperature=None)
                require_finite(made[name], run.model_file)
        for name, each in made.items():
            predictions.save(each, run.predictions_file(split, name))
    return {name: found or made[name] for name, found in saved.items()}


def _predict(run: Run, experiment: Experiment, split: SplitName) -> Predictions:
    """Predict every image of a split with the run's model, and save the predictions."""
    views = [tta.PLAIN]
    with _open_probabilities(run, experiment, split, views) as (store, indices, probabilities):
        made = Predictions(
            probabilities=next(probabilities),
            labels=store.labels[indices],
            ids=store.get_ids(indices),
            classes=store.classes,
            model=files.compute_sha256(run.model_file),
            temperature=read_description(run.model_file).calibration.temperature,
        )
        require_finite(made, run.model_file)
    predictions.save(made, run.predictions_file(split))
    return made


@contextlib.contextmanager
def _open_probabilities(
    run: Run, experiment: Experiment, split: SplitName, views: Sequence[View]
) -> "Iterator[tuple[Store, numpy.ndarray, Iterator[numpy.ndarray]]]":
    """Let the block predict a split with the run's model, while its store must not change.

    Yields:
        The store; the indices of the split's images; and the probabilities of each view, float32
        (images, classes), as they are iterated over.
    """
    store, assigned = lookup.open_run_store(run.data, experiment.data.store_dir)

    from imgcls.evaluation.inference import predict

    choice.use_for_prediction(experiment.train.strategy.get_device(), experiment.train.gpu_memory)
    indices = assigned.get_indices(split)
    reader = reader_pool.open_reader(store, assigned.geometry, experiment.train.data_workers)
    with store.change_detector.guard(), contextlib.closing(reader):
        readers = tta.open_views(reader, views)
        settings = experiment.train.batch_size, run.experiment.train.precision
        task = store.classes, store.fingerprint
        yield store, indices, predict(run.model_file, readers, indices, *settings, *task)


def require_finite(made: Predictions, model: Path) -> None:
    """Check that a model's predictions are finite.

    Raises:
        DivergenceError: some are not.
    """
    import numpy

    broken = numpy.flatnonzero(~numpy.isfinite(made.probabilities).all(axis=1))
    if broken.size:
        raise DivergenceError(
            f"{model} predicts probabilities that are not finite for {broken.size} of"
            f" {len(made.ids)} images, the first is {terminal.to_printable(made.ids[broken[0]])};"
            " train again with a lower learning rate or in float32"
        )
