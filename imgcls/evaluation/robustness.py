"""Accuracy and calibration under corruptions of the images. Light zone.

Each corruption at each severity is measured on the same images. The mean error is not divided by
the errors of another network, as Hendrycks and Dietterich (2019) do.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.config import Evaluate, Experiment
from imgcls.corruptions import SEVERITIES
from imgcls.datasets import SplitName
from imgcls.device import choice
from imgcls.evaluation.corrupted import CorruptedReader
from imgcls.evaluation.intervals import compute_wilson_interval
from imgcls.evaluation.predictions import Predictions
from imgcls.evaluation.predictor import require_finite
from imgcls.evaluation.robustness_record import Condition, CorruptedCondition, Robustness
from imgcls.io import files, terminal
from imgcls.metrics import Result
from imgcls.run import Run
from imgcls.seeds import derive_seed
from imgcls.store import lookup, reader_pool
from imgcls.store.reader import Reader
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class _Images:
    """The images that are corrupted, and what their metrics need."""

    run: Run
    experiment: Experiment
    store: Store
    indices: "numpy.ndarray"
    model: str


def measure_robustness(run: Run, experiment: Experiment, split: SplitName) -> Robustness:
    """Predict images of a split under every corruption of the experiment, and measure it.

    Images are corrupted batch by batch: memory holds the probabilities of one corruption at a time.

    Raises:
        DataError: the store is missing, or changed before or while it is read.
        DivergenceError: the model predicts probabilities that are not finite.
    """
    store, assigned = lookup.open_run_store(run.data, experiment.data.store_dir)
    # That of the split, so that runs that differ in the seed alone see the same corruptions.
    seed = derive_seed(experiment.split_seed, "corruptions")
    available = assigned.get_indices(split)
    indices = _choose(available, experiment.evaluate.corruption_images, seed)
    images = _Images(run, experiment, store, indices, files.compute_sha256(run.model_file))
    choice.use_for_prediction(experiment.train.strategy.get_device(), experiment.train.gpu_memory)
    reader = reader_pool.open_reader(store, assigned.geometry, experiment.train.data_workers)
    with store.change_detector.guard(), contextlib.closing(reader):
        clean, *others = _measure_all(images, reader, seed)
    corrupted = [each for each in others if isinstance(each, CorruptedCondition)]
    return Robustness(
        split=split,
        model=images.model,
        images=len(indices),
        split_images=len(available),
        seed=seed,
        confidence=experiment.evaluate.confidence,
        clean=clean,
        corrupted=corrupted,
        mean_error=sum(1 - each.accuracy for each in corrupted) / len(corrupted),
    )


def _measure_all(images: _Images, reader: Reader, seed: int) -> Iterator[Condition]:
    """Yield the metrics of the clean images, then those under each corruption at each severity."""
    from imgcls.evaluation.inference import predict

    experiment = images.experiment
    pairs = [(each, i) for each in experiment.evaluate.corruptions for i in SEVERITIES]
    corrupted = (CorruptedReader(reader, *pair, seed) for pair in pairs)
    readers: Iterator[Reader | CorruptedReader] = itertools.chain([reader], corrupted)
    found = predict(
        images.run.model_file,
        readers,
        images.indices,
        experiment.train.batch_size,
        images.run.experiment.train.precision,
        images.store.classes,
        images.store.fingerprint,
    )
    yield _measure(next(found), images)
    for (corruption, severity), probabilities in zip(pairs, found, strict=True):
        measured = _measure(probabilities, images)
        name = corruption.name
        terminal.print_line(f"{name}, severity {severity}: accuracy {measured.accuracy:.4f}")
        yield CorruptedCondition(corruption=name, severity=severity, **dict(measured))


def _choose(indices: "numpy.ndarray", count: int, seed: int) -> "numpy.ndarray":
    """Return at most `count` indices, drawn at random, sorted."""
    import numpy

    if len(indices) <= count:
        return indices
    generator = numpy.random.Generator(numpy.random.Philox(seed))
    return numpy.sort(generator.choice(indices, count, replace=False))


def _measure(probabilities: "numpy.ndarray", images: _Images) -> Condition:
    """Return the metrics of the probabilities of the images."""
    found = Predictions(
        probabilities=probabilities,
        labels=images.store.labels[images.indices],
        ids=images.store.get_ids(images.indices),
        classes=images.store.classes,
        model=images.model,
        temperature=None,
    )
    require_finite(found, images.run.model_file)
    correct = int((found.predicted == found.labels).sum())
    evaluate = images.experiment.evaluate
    return Condition(
        accuracy=correct / len(found.ids),
        interval=compute_wilson_interval(correct, len(found.ids), evaluate.confidence),
        log_loss=_compute("log_loss", "log_loss", evaluate, found),
        expected_calibration_error=_compute(
            "calibration", "expected_calibration_error", evaluate, found
        ),
    )


def _compute(metric: str, scalar: str, evaluate: Evaluate, found: Predictions) -> float:
    """Return a scalar of a metric, with the settings that the experiment lists, or the defaults."""
    listed = [each for each in evaluate.metrics if each.name == metric]
    settings = listed[0] if listed else parts.make_default_settings("metrics", metric)
    result: Result = parts.load_for("metrics", settings).compute(settings, found)
    value = result.scalars[scalar]
    if value is None:
        raise ValueError(f"{scalar} is undefined for {len(found.ids)} images")
    return float(value)
