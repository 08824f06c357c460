"""The linear probe: its solution, its strength, and runs that start from it or are nothing else."""

import json
import shutil
from pathlib import Path

import numpy
import pytest
from experiments import (
    MIRRORED,
    TINY,
    assert_same_result,
    command,
    json_of,
    write_experiment,
)
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from imgcls.backend import keras
from imgcls.errors import DivergenceError
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.transfer import linear_probe, probe_strength
from imgcls.transfer.probe_strength import STRENGTHS, Samples

PROBE = "train.head_init=linear_probe"


@pytest.fixture(autouse=True)
def one_thread():
    """Let BLAS use one thread, as the probe does."""
    with threadpool_limits(1, user_api="blas"):
        yield


def load_samples(count=400):
    """Return digits as float32 features with a large mean, and their labels."""
    features, labels = load_digits(return_X_y=True)
    return (features[:count] + 100).astype(numpy.float32), labels[:count].astype(numpy.int32)


def softmax(logits):
    exponentials = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_the_strength_has_the_lowest_log_loss_on_validation():
    features, labels = load_samples(300)
    fitted, measured = Samples(features[:60], labels[:60]), Samples(features[60:], labels[60:])
    found, record = probe_strength.choose_strength(fitted, measured, 10, None)
    assert record.chosen_on == "validation"
    scaler = StandardScaler().fit(fitted.features.astype(numpy.float64))
    losses = []
    for strength in STRENGTHS[: len(record.strengths)]:
        oracle = LogisticRegression(C=1 / (strength * 60), max_iter=10_000, tol=1e-6)
        oracle.fit(scaler.transform(fitted.features), fitted.labels)
        predicted = oracle.predict_proba(scaler.transform(measured.features))
        losses.append(-numpy.log(predicted[numpy.arange(240), measured.labels]).mean())
    assert record.log_losses == pytest.approx(losses, abs=0.01)
    best = STRENGTHS.index(record.strength)
    assert record.log_losses[best] == min(record.log_losses)
    assert losses[best] == pytest.approx(min(losses), abs=0.005)
    assert len(record.strengths) == best + 1 + probe_strength.PATIENCE
    right = found.compute_logits(measured.features).argmax(axis=1) == measured.labels
    assert record.val_accuracy == right.mean()


def test_with_groups_no_group_is_in_what_is_fitted_and_in_what_is_measured(monkeypatch):
    features, labels = load_samples(90)
    groups, pairs = numpy.repeat(["a", "b", "c"], 30), []
    iterate = probe_strength._iterate_pairs
    monkeypatch.setattr(
        probe_strength,
        "_compute_losses",
        lambda train, validation, folds, _: (
            pairs.extend(iterate(train, validation, folds)) or [1.0]
        ),
    )
    _, record = probe_strength.choose_strength(
        Samples(features, labels), Samples(features, labels), 10, groups
    )
    assert record.chosen_on == "folds of groups"
    assert [len(measured) for _, measured in pairs] == [30, 30, 30]
    held_out = {tuple(measured.features[0]) for _, measured in pairs}
    assert held_out == {tuple(features[0]), tuple(features[30]), tuple(features[60])}
    for fitted, measured in pairs:
        rows = {tuple(row) for row in fitted.features}
        assert not rows & {tuple(row) for row in measured.features}


def test_without_validation_the_folds_have_even_numbers_of_each_class():
    labels = numpy.repeat([0, 1, 2], [50, 23, 2])
    folds = list(probe_strength._divide_classes(labels))
    assert numpy.array_equal(numpy.sum(folds, axis=0), numpy.ones(75))
    counts = [numpy.bincount(labels[fold], minlength=3) for fold in folds]
    assert numpy.ptp(counts, axis=0).max() <= 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of one epoch, and a run of a probe on its features alone."""
    folder = tmp_path_factory.mktemp("probes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        model = {"name": "cnn", "filters": [8], "dense": [16], "dropout": 0.0}
        optimizer = {"name": "adam", "learning_rate": 0.01}
        content = {**TINY, "model": model, "train": {**TINY["train"], "epochs": 1}}
        content["train"]["optimizer"] = optimizer
        content["evaluate"] = {"bootstrap_samples": 100}
        write_experiment(folder, content)
        json_of("prepare", "experiment.yaml")
        json_of("train", "experiment.yaml", "--run", "first")
        content["model"] = {**model, "weights": "first"}
        content["train"] = {**content["train"], "epochs": 0, "head_init": "linear_probe"}
        write_experiment(folder, content, "probe.yaml")
        json_of("train", "probe.yaml", "--run", "run")
    return folder


def compute_features(run, split):
    """Return the inputs of a run's last dense layer on a split, and the labels."""
    model = keras.models.load_model(run.model_file, compile=False)
    store, assigned = lookup.open_run_store(run.data, "data")
    indices = assigned.get_indices(split)
    extractor = keras.Model(model.inputs, model.get_layer("logits").input)
    images = store.open_reader(assigned.geometry).read(indices)
    return extractor.predict(images, verbose=0), store.labels[indices], model


def test_a_run_of_no_epochs_is_a_probe_on_frozen_features(copied):
    run, first = Run(Path("run")), Run(Path("first"))
    record = json.loads(run.linear_probe_file.read_text())
    features, labels, model = compute_features(run, "train")
    of_first, _, _ = compute_features(first, "train")
    assert features == pytest.approx(of_first, abs=1e-6)
    exact = features.astype(numpy.float64)  # in float32, the oracle would be less precise
    scaled = StandardScaler().fit_transform(exact)
    oracle = LogisticRegression(
        C=1 / (record["strength"] * len(labels)), tol=1e-9, max_iter=10_000
    ).fit(scaled, labels)
    kernel, bias = model.get_layer("logits").get_weights()
    expected = oracle.predict_proba(scaled)
    assert softmax(features @ kernel + bias) == pytest.approx(expected, abs=5e-4)
    assert record["train_accuracy"] > first.log[-1].val_accuracy


def test_its_log_has_one_entry_of_epoch_0_which_every_reader_takes(copied):
    run = Run(Path("run"))
    record, (entry,) = json.loads(run.linear_probe_file.read_text()), run.log
    assert (entry.epoch, entry.step, entry.learning_rate) == (0, 0, 0)
    assert (entry.frozen_layers, entry.trained_parameters) == (2, 16 * 10 + 10)
    assert entry.accuracy == pytest.approx(record["train_accuracy"], abs=2e-3)
    assert entry.loss == pytest.approx(record["train_log_loss"], abs=1e-4)
    assert entry.val_loss == pytest.approx(record["val_log_loss"], abs=1e-4)
    summary = json_of("train", "probe.yaml", "--run", "run")
    assert (summary["epochs"], summary["selected"]["epoch"]) == (0, 0)
    assert json_of("eval", "run", "--split", "validation")["metrics"]["accuracy"] == pytest.approx(
        entry.val_accuracy
    )
    json_of("plot", "run", "learning_curves")
    assert run.status.step == 0


def test_it_is_reproduced_bit_by_bit(copied):
    assert json_of("reproduce", "run", "--run", "again")["result"] == "identical"
    assert_same_result(Run(Path("run")), Run(Path("again")))


def test_it_continues_after_a_kill_before_its_only_entry(copied):
    shutil.copytree("run", "other")
    other = Run(Path("other"))
    other.model_file.unlink()
    other.log_file.unlink()
    other.write_status("running")
    json_of("train", "probe.yaml", "--run", "other")
    assert_same_result(Run(Path("run")), other)


def test_a_lost_log_is_restored_from_its_checkpoint(copied):
    run = Run(Path("run"))
    log = run.log
    run.log_file.unlink()
    json_of("train", "probe.yaml", "--run", "run")
    assert run.log == log


@pytest.mark.full
def test_fine_tuning_starts_from_the_probe(copied):
    options = ["--set", "train.epochs=2", "--set", "train.optimizer.learning_rate=1.0e-12"]
    json_of("train", "probe.yaml", "--run", "tuned", *options)
    tuned = Run(Path("tuned"))
    assert [each.epoch for each in tuned.log] == [1, 2]
    assert tuned.log[0].val_loss == pytest.approx(Run(Path("run")).log[0].val_loss, abs=1e-3)


@pytest.mark.full
def test_a_rehearsal_starts_from_the_probe_too_and_leaves_nothing(copied):
    before = sorted(Path().rglob("*"))
    found = json_of("train", "probe.yaml", "--dry-run")
    assert (found["total_steps"], found["first_step_seconds"]) == (0, None)
    assert found["validation_batch_accuracy"] == pytest.approx(Run(Path("run")).log[0].val_accuracy)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.full
@pytest.mark.parametrize(
    "overrides",
    [(MIRRORED,), ("train.precision=mixed_float16",), ("train.precision=mixed_bfloat16",)],
)
def test_mirrored_and_mixed_runs_have_the_same_probe(copied, overrides):
    options = [word for each in overrides for word in ("--set", each)]
    json_of("train", "probe.yaml", "--run", "other", *options)
    one, other = (
        json.loads(Run(Path(name)).linear_probe_file.read_text()) for name in ("run", "other")
    )
    assert other["train_log_loss"] == pytest.approx(one["train_log_loss"], rel=0.05)
    assert Run(Path("other")).log[0].val_loss == pytest.approx(other["val_log_loss"], abs=5e-3)


def test_features_that_are_not_finite_are_named(digits):
    store, split = lookup.find_store(digits())
    features = numpy.ones((3, 2), numpy.float32)
    features[1, 0] = numpy.inf
    with pytest.raises(DivergenceError, match="the features of 1 images are not finite, the first"):
        linear_probe._require_finite(features, store, split.train[:3])


@pytest.mark.parametrize(
    ("train", "problem"),
    [
        ({"epochs": 0}, "epochs is 0, so nothing is trained; set head_init, or more epochs"),
        (
            {"epochs": 0, "head_init": "linear_probe", "select_weights": "soup"},
            "epochs is 0, but select_weights is soup",
        ),
    ],
)
def test_no_epochs_without_a_probe_or_with_a_soup_are_an_error(workspace, train, problem):
    write_experiment(workspace, {**TINY, "train": train})
    exit_code, _, stderr = command("check", "experiment.yaml")
    assert exit_code == 2
    assert problem in stderr


def test_weights_of_classes_and_of_sampling_are_those_of_the_training(digits):
    experiment = digits(PROBE, "train.sampling={by: class, power: 0.5}")
    store, split = lookup.find_store(experiment)
    labels = store.labels[split.train]
    found = linear_probe.compute_weights(experiment.train, store, split)
    expected = numpy.bincount(labels)[labels] ** -0.5
    assert found == pytest.approx(expected / expected.mean())
    experiment = digits(PROBE, "train.class_weights={'3': 5.0}")
    found = linear_probe.compute_weights(experiment.train, store, split)
    assert found[labels == 3] == pytest.approx(5 * found[labels != 3][0])
    assert found.mean() == pytest.approx(1)
    assert linear_probe.compute_weights(digits(PROBE).train, store, split) is None


def test_a_run_on_data_with_groups_chooses_by_them(workspace):
    features, labels = load_digits(return_X_y=True)
    numpy.savez(
        "toy.npz",
        images=(16 * features[:200]).clip(0, 255).astype(numpy.uint8).reshape(-1, 8, 8),
        labels=labels[:200],
        groups=numpy.arange(200) // 20,
    )
    data = {"name": "arrays", "path": "toy.npz", "groups": "groups", "test": 0.2}
    train = {"epochs": 0, "head_init": "linear_probe"}
    model = {"name": "cnn", "filters": [8], "dense": []}
    path = write_experiment(
        workspace, {"name": "toy", "data": data, "model": model, "train": train}
    )
    json_of("prepare", path)
    json_of("train", path, "--run", "run")
    record = json.loads(Run(Path("run")).linear_probe_file.read_text())
    assert record["chosen_on"] == "folds of groups"
    assert record["val_accuracy"] > 0.5
