"""Measures a compressed run beside its original. Heavy zone."""

import resource
import sys
from pathlib import Path
from typing import Any

import numpy

from imgcls import environment, parts
from imgcls.backend import keras
from imgcls.comparison.paired_bootstrap import bootstrap_differences
from imgcls.compression import latency
from imgcls.compression.litert_file import convert_model
from imgcls.compression.networks import count_network, load_logits
from imgcls.compression.record import NetworkSize
from imgcls.compression.table_record import ComparedSplit, CompressionTable, ModelCost
from imgcls.config import Experiment
from imgcls.datasets import SplitName
from imgcls.errors import DataError
from imgcls.evaluation import inference, predictor
from imgcls.evaluation.compiled_model import count_threads
from imgcls.evaluation.intervals import compute_wilson_interval
from imgcls.evaluation.predictions import Predictions
from imgcls.export.images import open_images
from imgcls.io import files, terminal
from imgcls.metrics.accuracy import is_correct
from imgcls.run import Run
from imgcls.seeds import derive_seed
from imgcls.training.model_description import read_description

_FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm", "sve")


def measure(original: Run, result: Run, experiment: Experiment) -> CompressionTable:
    """Compare two finished runs: their predictions, which are saved, and what the models cost.

    Args:
        experiment: that of the original, perhaps with other settings that do not affect training.

    Raises:
        DataError: there are no images, not even a sample.
    """
    compared = [_compare(original, result, experiment, "validation")]
    if compared[0].images_from == "store" and result.data.sizes["test"]:
        compared.append(_compare(original, result, experiment, "test"))
    before, after = _measure_costs(original, result)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return CompressionTable(
        run=str(result.folder),
        original=str(original.folder),
        model_sha256=files.compute_sha256(result.model_file),
        confidence=experiment.evaluate.confidence,
        compared=compared,
        before=before,
        after=after,
        runtime="litert" if result.model_file == result.litert_file else "tensorflow",
        rounds=latency.ROUNDS,
        threads=count_threads(),
        processor=environment.read_runtime().processor,
        cpu_features=sorted(environment.read_cpu_features() & set(_FEATURES)),
        peak_memory_mib=peak / (2**20 if sys.platform == "darwin" else 2**10),
    )


def _compare(original: Run, result: Run, experiment: Experiment, split: SplitName) -> ComparedSplit:
    """Compare the predictions on a split; on the sample, if there are no others."""
    source = "store"
    try:
        found = [predictor.find_or_predict(run, experiment, split) for run in (original, result)]
    except DataError:
        found = _predict_sample(original, result, experiment)
        source = "sample"
    before, after = found
    confidence = experiment.evaluate.confidence
    seed = derive_seed(experiment.seed, "bootstrap")
    (intervals,) = bootstrap_differences(
        [[before], [after]],
        [parts.make_default_settings("metrics", "accuracy")],
        experiment.evaluate.bootstrap_samples,
        confidence,
        seed,
    )
    right = [int(each.per_image(is_correct).sum()) for each in found]
    count = len(before.labels)
    fields: dict[str, Any] = {
        "split": split,
        "images_from": source,
        "images": count,
        "original": right[0] / count,
        "original_interval": compute_wilson_interval(right[0], count, confidence),
        "accuracy": right[1] / count,
        "interval": compute_wilson_interval(right[1], count, confidence),
        "difference": (right[1] - right[0]) / count,
        "difference_interval": intervals["accuracy"],
        "agreement": float((before.predicted == after.predicted).mean()),
    }
    return ComparedSplit(**fields, **_compare_classes(before, after))


def _predict_sample(original: Run, result: Run, experiment: Experiment) -> list[Predictions]:
    """Predict the images that the original keeps.

    Raises:
        DataError: it keeps none.
    """
    data, size = original.data, experiment.train.batch_size
    resize = read_description(original.model_file).resize
    made = []
    with open_images(original, experiment, resize) as images:
        for run in (original, result):
            model = inference.open_model(run.model_file, data.shape, len(data.classes))
            outputs = inference.predict_outputs(model, images.reader, images.indices, size)
            made.append(
                Predictions(
                    probabilities=outputs.astype(numpy.float32),
                    labels=images.labels,
                    ids=[str(index) for index in images.indices],
                    classes=data.classes,
                    model="",
                    temperature=None,
                )
            )
    return made


def _compare_classes(before: Predictions, after: Predictions) -> dict[str, Any]:
    """Return the lowest recall of a class, and the classes that lost half of theirs."""
    sizes = numpy.bincount(before.labels, minlength=len(before.classes))
    old, new = (
        numpy.bincount(each.labels[each.per_image(is_correct)], minlength=len(sizes))
        / numpy.maximum(sizes, 1)
        for each in (before, after)
    )
    present = numpy.flatnonzero(sizes)
    worst = present[new[present].argmin()]
    halved = [i for i in present if old[i] > 0 and new[i] <= old[i] / 2]
    return {
        "worst_class": before.classes[worst],
        "worst_class_recall": float(new[worst]),
        "original_worst_class_recall": float(old[present].min()),
        "halved": [before.classes[i] for i in halved],
    }


def _measure_costs(original: Run, result: Run) -> tuple[ModelCost, ModelCost]:
    """Return what both models cost, with their latency in the runtime of the compressed one."""
    terminal.note("measuring the latency of both models")
    data = original.data
    model = inference.load_model(original.model_file, data.shape, len(data.classes))
    compressed = inference.open_model(result.model_file, data.shape, len(data.classes))
    if result.model_file == result.litert_file:
        path = result.folder / ".float32.tmp"
        try:
            path.write_bytes(convert_model(model, "float32", None, result.folder))
            float32 = parts.load("exporters", "litert").load(path, count_threads())
            times = latency.measure([float32, lambda x: compressed.predict(x)[0]], data.shape)
        finally:
            path.unlink(missing_ok=True)
    else:
        assert isinstance(compressed, keras.Model)
        times = latency.measure(
            [latency.compile_model(model), latency.compile_model(compressed)], data.shape
        )
    made = result.compression
    assert made is not None
    assert made.network is not None  # as the chain wrote it
    network = count_network(load_logits(original))
    before = _make_cost(original.model_file, network, times[0])
    return before, _make_cost(result.model_file, made.network, times[1])


def _make_cost(path: Path, network: NetworkSize, times: list[float]) -> ModelCost:
    return ModelCost(
        bytes=path.stat().st_size,
        parameters=network.parameters,
        multiply_adds=network.multiply_adds,
        milliseconds_1=times[0],
        milliseconds_64=times[1],
    )
