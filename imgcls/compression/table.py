"""Measures a compressed run beside its original. Heavy zone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy

from imgcls import environment, parts
from imgcls.comparison.paired_bootstrap import bootstrap_differences
from imgcls.compression import latency, peak_memory
from imgcls.compression.litert_file import convert_model
from imgcls.compression.networks import count_network, load_logits
from imgcls.compression.record import NetworkSize, read_compression
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
    """Return what both models cost, with latency and memory in the runtime of the compressed one.

    Raises:
        UserError: a process that measures memory ended.
    """
    terminal.note("measuring the latency and the memory of both models")
    shape, threads = original.data.shape, count_threads()
    with _open_original(original, result) as (reference, predict):
        if reference == original.model_file:
            network = inference.load_model(result.model_file, shape, len(original.data.classes))
            compressed = latency.compile_model(network)
        else:
            compressed = parts.load("exporters", "litert").load(result.model_file, threads)
        times = latency.measure([predict, compressed], shape)
        peaks = peak_memory.measure([reference, result.model_file], shape, threads)
    network = read_compression(result.compression_file).network
    if network is None:
        raise ValueError(f"{result.folder} is not finished")
    sizes = count_network(load_logits(original)), network
    paths = original.model_file, result.model_file
    before, after = map(_make_cost, paths, sizes, times, peaks)
    return before, after


@contextmanager
def _open_original(original: Run, result: Run) -> Iterator[tuple[Path, latency.Predict]]:
    """Open the original in the runtime of the compressed model, in float32.

    Yields:
        Its file, which for LiteRT is a temporary one; and what predicts with it.
    """
    data = original.data
    model = inference.load_model(original.model_file, data.shape, len(data.classes))
    if result.model_file != result.litert_file:
        yield original.model_file, latency.compile_model(model)
        return
    path = result.folder / ".float32.tmp"
    try:
        path.write_bytes(convert_model(model, "float32", None, result.folder))
        yield path, parts.load("exporters", "litert").load(path, count_threads())
    finally:
        path.unlink(missing_ok=True)


def _make_cost(path: Path, network: NetworkSize, times: list[float], peak: float) -> ModelCost:
    return ModelCost(
        bytes=path.stat().st_size,
        parameters=network.parameters,
        multiply_adds=network.multiply_adds,
        milliseconds_1=times[0],
        milliseconds_64=times[1],
        peak_memory_mib=peak,
    )
