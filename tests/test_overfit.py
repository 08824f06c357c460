"""Overfitting a few images: which ones, without what, and when it fails."""

import json
from pathlib import Path

import numpy
import pytest
from experiments import MIRRORED, command, json_of, write_experiment
from pydantic import BaseModel

from imgcls import parts
from imgcls.config import Experiment
from imgcls.errors import DivergenceError, UserError
from imgcls.input import sampler
from imgcls.rehearsal import overfit
from imgcls.rehearsal.options import Rehearsal
from imgcls.seeds import derive_seed
from imgcls.store import lookup
from imgcls.verbs.rehearse import rehearse

KINDS = ("losses", "models", "optimizers")
"""The parts whose settings may regularize."""
NAMES = ("drop", "decay", "l2", "l1", "noise", "penalty", "regulariz", "smooth", "stochastic")
"""What the names of such settings contain."""
OTHERS = {"layer_decay"}
"""Settings with such a name that do not regularize."""
ADAM = "train.optimizer={name: adam, learning_rate: 0.01}"


def fit(experiment, images=20):
    return rehearse(Rehearsal("overfit", "experiment.yaml", images), experiment)


def test_a_model_fits_a_few_images_and_nothing_is_left(digits):
    before = sorted(Path().rglob("*"))
    found = fit(digits(ADAM, "model.filters=[16]"))
    assert (found["fits"], found["accuracy"], found["images"]) == (True, 1.0, 20)
    assert found["steps"] < found["max_steps"] == 1000
    assert found["classes"] == 10
    assert found["wrong"] == []
    assert sorted({*Path().rglob("*")} - {Path("experiment.yaml")}) == before


def test_the_images_are_the_first_ones_of_each_class_in_the_first_epoch(digits):
    experiment = digits()
    store, split = lookup.find_store(experiment)
    order = sampler.shuffle_epoch(len(split.train), derive_seed(0, "order"), 0)
    firsts = [
        [index for index in split.train[order] if store.labels[index] == label][:3]
        for label in range(10)
    ]
    found = overfit.select_images(experiment, store, split, 23).tolist()
    assert set(found) == {
        index for label, some in enumerate(firsts) for index in some[: 3 if label < 3 else 2]
    }
    assert found == sorted(found)


def test_all_training_images_may_be_taken_but_not_more(digits):
    experiment = digits()
    store, split = lookup.find_store(experiment)
    every = overfit.select_images(experiment, store, split, len(split.train))
    assert numpy.array_equal(every, split.train)
    with pytest.raises(UserError, match=r"--overfit 1295: there are 1,294 training images"):
        overfit.select_images(experiment, store, split, 1295)


def list_numbers(settings, path=""):
    """Yield the path of each number in settings, in settings inside them too."""
    for name, value in settings:
        if isinstance(value, BaseModel):
            yield from list_numbers(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_regularization_of_a_part_is_known(kind):
    found = {
        path.rpartition(".")[2]
        for settings in parts.make_all_default_settings(kind)
        for path in list_numbers(settings)
    }
    suspects = {name for name in found if any(word in name for word in NAMES)} - OTHERS
    assert suspects <= overfit.REGULARIZATION.keys()


def test_augmentation_and_regularization_are_turned_off_and_named(digits):
    adapted, changed = overfit.adapt(
        digits(
            "augment=[{name: random_flip}]",
            "model.dropout=0.3",
            "model.l2=0.1",
            "train.loss={label_smoothing: 0.1}",
            "train.optimizer={name: muon, companion: {name: adamw, weight_decay: 0.2}}",
            "train.sampling={by: class}",
        ),
        images=20,
    )
    assert changed == {
        "augment": ["random_flip"],
        "model.dropout": 0.3,
        "model.l2": 0.1,
        "train.loss.label_smoothing": 0.1,
        "train.optimizer.weight_decay": 0.005,
        "train.optimizer.companion.weight_decay": 0.2,
        "train.sampling": {"by": "class", "power": 1.0},
    }
    assert adapted.augment == []
    assert adapted.train.optimizer.companion.weight_decay == 0
    assert adapted.train.batch_size == 20
    assert adapted.train.optimizer.companion.name == "adamw"
    assert Experiment.model_validate(adapted.model_dump()) == adapted


@pytest.fixture
def contradictory(workspace):
    """An experiment on 8 pairs of the same pixels, 3 of which have different labels."""
    images = numpy.random.default_rng(0).integers(0, 256, (8, 8, 8, 1)).astype(numpy.uint8)
    labels = numpy.arange(8) % 2
    others = numpy.where(numpy.arange(8) < 3, 1 - labels, labels)
    numpy.savez(
        "toy.npz",
        images=numpy.concatenate([images, images, images[:1]]),
        labels=numpy.concatenate([labels, others, labels[:1]]),
        splits=["train"] * 16 + ["test"],
    )
    content = {
        "name": "toy",
        "data": {
            "name": "arrays",
            "path": "toy.npz",
            "own_splits": "splits",
            "validation": 0.0,
            "audit": [{"name": "imbalance"}],
        },
        "model": {"name": "cnn", "filters": [8], "dense": []},
        "train": {"optimizer": {"name": "adam", "learning_rate": 0.01}},
    }
    path = write_experiment(workspace, content)
    json_of("prepare", path)
    return path


def test_contradictory_labels_end_with_exit_code_6_and_are_counted(contradictory, monkeypatch):
    monkeypatch.setattr(overfit, "MAX_STEPS", 100)
    line = ["train", contradictory, "--overfit", "16", "--json"]
    exit_code, stdout, stderr = command(*line)
    assert exit_code == 6, stderr
    found = json.loads(stdout)
    assert found["fits"] is False
    assert found["steps"] == found["max_steps"] == 100
    assert found["contradictory_images"] == 6
    assert len(found["wrong"]) == 3  # one of each pair
    assert found["accuracy"] == 13 / 16
    assert "6 of them have the pixels of another one with another label" in stderr
    assert "the model does not fit 16 training images" in stderr


def test_a_learning_rate_that_is_too_high_is_divergence(digits):
    with pytest.raises(DivergenceError, match="not finite within 20 steps; lower"):
        fit(digits("train.optimizer={name: sgd, learning_rate: 1.0e+9}"))


@pytest.mark.full
@pytest.mark.parametrize(
    "override", [MIRRORED, "train.precision=mixed_float16", "train.micro_batch_size=8"]
)
def test_mirrored_mixed_and_divided_batches_fit_too(digits, override):
    found = fit(digits(ADAM, "model.filters=[16]", "train.batch_size=16", override), images=40)
    assert found["fits"]
    assert found["accumulation_steps"] == (2 if "micro" in override else 1)


@pytest.mark.full
@pytest.mark.parametrize("name", parts.list_names("optimizers"))
def test_each_optimizer_fits_a_few_images_with_its_default_learning_rate(digits, name):
    model = "model={name: cnn, filters: [16, 16], dense: []}"
    assert fit(digits(f"train.optimizer={name}", model))["fits"]
