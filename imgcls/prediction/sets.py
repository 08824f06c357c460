"""Prediction sets for new images, calibrated on the validation split. Light zone."""

import contextlib
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.config import Experiment
from imgcls.errors import UserError
from imgcls.evaluation import conformal, predictor
from imgcls.evaluation.conformal import PredictionSets
from imgcls.io import terminal
from imgcls.prediction.options import PredictOptions
from imgcls.prediction.rows import describe_sets
from imgcls.run import Run
from imgcls.store import lookup, reader_pool

if TYPE_CHECKING:
    import numpy

    from imgcls.prediction.classifier import Classifier


def require_validation(run: Run, options: PredictOptions) -> None:
    """Check that the run has validation images, if sets are asked for.

    Raises:
        UserError: it has none.
    """
    if options.coverage is not None and not run.data.sizes["validation"]:
        raise UserError(
            "--coverage needs validation images, on which the sets are calibrated, but"
            f" {run.folder} was trained without any; leave it out, or train a run with"
            " data.validation above 0"
        )


def calibrate_sets(
    run: Run, experiment: Experiment, classifier: "Classifier", options: PredictOptions
) -> PredictionSets | None:
    """Return prediction sets with the wanted coverage, with a note on them; None if none is wanted.

    The validation split is predicted if that was not done before.

    Raises:
        DataError: that is needed, but the run's data is missing or has changed.
    """
    if options.coverage is None:
        return None
    probabilities, labels = _predict_validation(run, experiment, classifier, options)
    settings = parts.load("metrics", "conformal").Settings
    own = [each for each in experiment.evaluate.metrics if isinstance(each, settings)]
    score: conformal.Score = (own or [settings(name="conformal")])[0].scores[options.score]
    label_scores = score.score_labels(probabilities, labels)
    sets = conformal.calibrate(score, options.coverage, label_scores)
    terminal.note(describe_sets(sets, options.score))
    return sets


def _predict_validation(
    run: Run, experiment: Experiment, classifier: "Classifier", options: PredictOptions
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return probabilities and labels of the validation split."""
    import numpy

    if run.status.status == "finished":
        found = predictor.find_or_predict(run, experiment, "validation")
        if options.tta:
            evaluate = experiment.evaluate.model_copy(update={"tta": [options.tta]})
            wanted = experiment.model_copy(update={"evaluate": evaluate})
            found = predictor.find_or_average(run, wanted, "validation", found)[options.tta]
        return found.probabilities, found.labels
    store, assigned = lookup.open_run_store(run.data, experiment.data.store_dir)
    reader = reader_pool.open_reader(store, assigned.geometry, experiment.train.data_workers)
    indices, size = assigned.validation, classifier.batch_size
    with store.change_detector.guard(), contextlib.closing(reader):
        blocks = [
            classifier.predict_images(reader.read(indices[start : start + size]))
            for start in range(0, len(indices), size)
        ]
    return numpy.concatenate(blocks), store.labels[indices]
