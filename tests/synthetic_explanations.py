"""Explanations of a synthetic run, whose maps and scores are made up."""

import numpy

from imgcls.evaluation.predictions import Predictions
from imgcls.explanation.folder import get_explanation_folder
from imgcls.explanation.permutations import list_features
from imgcls.explanation.record import (
    CurveScore,
    FeatureImportance,
    Importance,
    MapArrays,
    MethodScores,
    RandomizedLayers,
    Region,
)
from imgcls.io.array_records import write_arrays
from imgcls.io.records import write_record
from imgcls.run import Run


def make_source(model="m" * 64):
    """Return what numbers were made of."""
    return {"model": model, "seed": 0, "confidence": 0.95, "bootstrap_samples": 100}


def make_scores(images, gain=0.2, similarity=0.1, regions=(), model="m" * 64):
    """Return the scores of a method; of the mean maps, the names of the classes are given."""
    score = CurveScore(
        area=0.5 - gain, random_area=0.5, gain=gain, gain_interval=(gain - 0.1, gain + 0.1)
    )
    similarities = {
        "similarity": similarity,
        "similarity_interval": (similarity - 0.1, similarity + 0.1),
    }
    return MethodScores(
        **make_source(model),
        method="occlusion",
        settings={},
        baseline="mean",
        images=images,
        deletion=score,
        insertion=score,
        randomization=[
            RandomizedLayers(layers=layers, of=9, first="x", **similarities) for layers in (1, 3, 9)
        ],
        randomized_images=8,
        regions=[Region(name=name, images=3, center=0.4, border=0.2) for name in regions],
        finding="Occlusion marks what the prediction depends on: deletion 0.3 (random 0.5)",
        advice="these maps can be believed",
    )


def make_importance(shape, model="m" * 64):
    """Return an importance of the features of images of a shape."""
    changes = {"drop": 0.125, "drop_interval": (0.1, 0.2)}
    features = [
        FeatureImportance(kind=each.kind, name=each.name, place=each.place, **changes)
        for each in list_features(shape)
    ]
    fixed = {"images": 9, "permutations": 3, "accuracy": 0.9, "finding": "it is so"}
    return Importance(**make_source(model), features=features, **fixed)


def write_explanations(run: Run, made: Predictions) -> None:
    """Write the explanations of the test split of a run."""
    folder = get_explanation_folder(run, "test")
    method = folder.method_folder("occlusion")
    count = min(len(made.ids), 30)
    height, width, channels = run.data.shape
    random = numpy.random.default_rng(0)
    areas = numpy.full(count, 0.5, numpy.float32)
    maps = MapArrays(
        maps=random.normal(size=(count, height, width)).astype(numpy.float32),
        ids=numpy.array(made.ids[:count], str),
        explained=made.predicted[:count].astype(numpy.int32),
        probabilities=made.probabilities[:count].max(axis=1),
        labels=made.labels[:count],
        deletion=areas,
        insertion=areas,
        random_deletion=areas,
        random_insertion=areas,
        classes=numpy.array(made.classes, str),
    )
    write_arrays(method.maps_file, maps)
    write_record(method.scores_file, make_scores(count, model=made.model))
    importance = make_importance((height, width, channels), made.model)
    write_record(folder.importance_file, importance)
