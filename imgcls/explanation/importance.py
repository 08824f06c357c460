"""The importance of features on a split, with intervals. Heavy zone."""

import os
from pathlib import Path

from imgcls.config import Experiment
from imgcls.explanation import permutations, sentences
from imgcls.explanation.images import Images
from imgcls.explanation.intervals import compute_mean_interval
from imgcls.explanation.network import Network
from imgcls.explanation.record import FeatureImportance, Importance, Provenance
from imgcls.io import terminal
from imgcls.io.records import read_record
from imgcls.seeds import derive_seed


def measure(
    network: Network, images: Images, experiment: Experiment, made_of: Provenance
) -> Importance:
    """Measure by how much the accuracy falls without each feature.

    Args:
        images: at least two, with labels.
    """
    if images.labels is None:
        raise ValueError("the importance of features needs labels")
    seed = derive_seed(experiment.seed, "explain")
    count = experiment.explain.permutations
    right = permutations.predict_right(network, images.pixels, images.labels)
    features = permutations.list_features(images.pixels.shape[1:])
    measured = permutations.measure(network, images.pixels, images.labels, right, count, seed)
    found = [
        FeatureImportance(
            kind=feature.kind,
            name=feature.name,
            place=feature.place,
            drop=round(float(drops.mean()), 12),
            drop_interval=compute_mean_interval(drops, experiment.evaluate, seed),
        )
        for feature, drops in terminal.track(measured, len(features), "importance")
    ]
    accuracy = float(right.mean())
    return Importance(
        **made_of.model_dump(),
        images=len(right),
        permutations=count,
        accuracy=accuracy,
        features=found,
        finding=sentences.describe_importance(found, accuracy),
    )


def find_measured(path: Path, made_of: Provenance, images: int, count: int) -> Importance | None:
    """Return what an earlier call has measured in the same way; None if there is nothing."""
    if not os.path.lexists(path):
        return None
    with terminal.note_unusable():
        saved = read_record(path, Importance, "it is written again")
        expected = {**made_of.model_dump(), "images": images, "permutations": count}
        if saved.model_dump(include=set(expected)) == expected:
            return saved
    return None
