"""Explains images by all methods of an experiment, and writes what is found. Heavy zone."""

from collections.abc import Sequence

import numpy

from imgcls.config import Experiment
from imgcls.datasets import SplitName
from imgcls.errors import DivergenceError
from imgcls.explainers import ExplainerSettings
from imgcls.explanation import importance, methods, writer
from imgcls.explanation.folder import FILES, ExplanationFolder, get_explanation_folder
from imgcls.explanation.images import Images, make_target
from imgcls.explanation.network import Network
from imgcls.explanation.record import (
    ExplainedImage,
    Explanation,
    Importance,
    MethodScores,
    Provenance,
)
from imgcls.figures import _style
from imgcls.io import terminal
from imgcls.run import Run
from imgcls.seeds import derive_seed


def run_methods(
    run: Run,
    experiment: Experiment,
    network: Network,
    images: Images,
    model: str,
    split: SplitName | None,
) -> Explanation:
    """Explain the first images by each method; on all of them, measure the importance of features.

    Args:
        network: that of the run.
        model: the SHA-256 of the run's model.
        split: of the images; None for files, which have no importance.

    Raises:
        UserError: a method does not suit the network, or a file cannot be written.
        DivergenceError: logits or a map are not finite.
        OutOfMemoryError: a batch does not fit the device.
    """
    evaluate = experiment.evaluate
    made_of = Provenance(
        model=model,
        seed=experiment.seed,
        confidence=evaluate.confidence,
        bootstrap_samples=evaluate.bootstrap_samples,
    )
    folder = get_explanation_folder(run, split or FILES)
    some = images.take(experiment.explain.images)
    explained = _predict(network, some, run.data.classes)
    _style.note_missing_glyphs(run.data.classes)
    scores = [
        _run_method(run, experiment, network, some, explained, settings, made_of, folder)
        for settings in experiment.explain.methods
    ]
    found = (
        None if split is None else _find_importance(folder, network, images, experiment, made_of)
    )
    return Explanation(
        run=str(run.folder),
        name=split or FILES,
        images=explained,
        methods=scores,
        importance=found,
    )


def _predict(network: Network, images: Images, classes: Sequence[str]) -> list[ExplainedImage]:
    batches = [
        network.compute_probabilities(some.astype(numpy.float32))
        for some in network.divide(images.pixels)
    ]
    probabilities = numpy.concatenate(batches)
    if not numpy.isfinite(probabilities).all():
        raise DivergenceError(
            "the model predicts probabilities that are not finite; train again with a lower"
            " learning rate or in float32"
        )
    labels = [None] * len(images.ids) if images.labels is None else images.labels.tolist()
    return [
        ExplainedImage(
            id=id_,
            predicted=classes[int(row.argmax())],
            probability=min(float(row.max()), 1.0),
            label=None if label is None else classes[label],
        )
        for id_, row, label in zip(images.ids, probabilities, labels, strict=True)
    ]


def _run_method(
    run: Run,
    experiment: Experiment,
    network: Network,
    images: Images,
    explained: Sequence[ExplainedImage],
    settings: ExplainerSettings,
    made_of: Provenance,
    folder: ExplanationFolder,
) -> MethodScores:
    data = run.data
    numbers = {name: number for number, name in enumerate(data.classes)}
    targets = [
        make_target(pixels, numbers[each.predicted], experiment, data.mean, i)
        for i, (pixels, each) in enumerate(zip(images.pixels, explained, strict=True))
    ]
    seed = derive_seed(experiment.seed, "explain")
    method = methods.explain(network, settings, targets, experiment.evaluate, seed)
    of_split = data.classes if images.labels is not None else []
    scores = methods.describe(method, made_of, experiment, of_split)
    writer.write_method(folder, method, scores, images, explained, data.classes)
    return scores


def _find_importance(
    folder: ExplanationFolder,
    network: Network,
    images: Images,
    experiment: Experiment,
    made_of: Provenance,
) -> Importance | None:
    """Return the importance of features: what an earlier call has measured, or a new one."""
    some = images.take(experiment.explain.importance_images)
    count, permutations = len(some.ids), experiment.explain.permutations
    if count < 2:
        terminal.note("no importance of features, which takes two images")
        return None
    saved = importance.find_measured(folder.importance_file, made_of, count, permutations)
    if saved:
        return saved
    measured = importance.measure(network, some, experiment, made_of)
    writer.write_importance(folder, measured, f"{folder.folder.name} split, {count:,} images")
    return measured
