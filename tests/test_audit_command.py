"""The verb `audit`: the report, and labels that runs contradict on images held out from them."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy
import pytest
from experiments import command
from synthetic_run import MODEL, TEMPERATURE, make_run

from imgcls import parts
from imgcls.audit import runner as audits
from imgcls.audit.audit_report import AuditReport, ReportedFinding
from imgcls.errors import DataError, UserError
from imgcls.evaluation import predictions
from imgcls.evaluation.predictions import Predictions
from imgcls.store import lookup
from imgcls.verbs import audit

PER_CLASS = 40


def predict(run, wrong=(), split="test", confidence=0.9):
    """Save confident predictions of a split: the label, but the next class at indices `wrong`."""
    store, assigned = lookup.open_run_store(run.data, run.experiment.data.store_dir)
    indices = assigned.get_indices(split)
    labels = store.labels[indices]
    predicted = labels.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % len(store.classes)
    probabilities = numpy.full(
        (len(indices), len(store.classes)),
        (1 - confidence) / (len(store.classes) - 1),
        numpy.float32,
    )
    probabilities[numpy.arange(len(indices)), predicted] = confidence
    saved = Predictions(
        probabilities,
        labels,
        store.get_ids(indices),
        store.classes,
        hashlib.sha256(MODEL).hexdigest(),
        TEMPERATURE,
    )
    predictions.save(saved, run.predictions_file(split))
    return saved


@pytest.fixture
def run(workspace):
    """A finished run with an audited store, and confident predictions of its test split."""
    made = make_run(workspace / "1", per_class=PER_CLASS)
    store, split = lookup.open_run_store(made.data, made.experiment.data.store_dir)
    report, _ = audits.run_checks(store, split, parts.make_all_default_settings("checks"))
    audits.save_report(report, store, split.key)
    predict(made)
    return made


def list_ids(report):
    return [error.id for error in report.label_errors.errors]


def test_labels_that_a_run_contradicts_are_listed_with_its_suggestions(run):
    saved = predict(run, wrong=[5, 50])
    report = audit.audit(run.folder, [], [])
    assert list_ids(report) == [saved.ids[5], saved.ids[50]]
    first = report.label_errors.errors[0]
    assert (first.label, first.suggested_label) == (
        saved.classes[saved.labels[5]],
        saved.classes[saved.labels[5] + 1],
    )
    assert first.suggested_probability == pytest.approx(0.9)
    assert first.margin == pytest.approx(0.05 - 0.9)
    assert report.label_errors.evaluated == run.data.sizes["test"]
    text = audit.format_report(report, "photos.yaml")
    assert "label errors: 2 labels suspected\n" in text
    assert f"{len(saved.ids)} of {report.label_errors.images} images" in text
    shown = [line.split()[:2] for line in audit.format_report(report, "photos.yaml").splitlines()]
    assert [saved.ids[5], first.label] in shown


def test_training_images_are_not_evaluated_but_validation_images_are(run):
    predict(run, split="validation")
    report = audit.audit(run.folder, [], [])
    assert report.label_errors.evaluated == run.data.sizes["test"] + run.data.sizes["validation"]
    assert report.label_errors.images == sum(run.data.sizes.values())


def test_the_probabilities_of_several_runs_are_averaged(run, workspace):
    shutil.copytree(run.folder, workspace / "2")
    other = type(run)(workspace / "2")
    predict(run, wrong=[5], confidence=0.8)
    predict(other, confidence=0.9)
    report = audit.audit(run.folder, [other.folder], [])
    assert list_ids(audit.audit(run.folder, [], [])) != []
    assert list_ids(report) == []
    saved = predict(other, wrong=[5], confidence=0.9)
    (error,) = audit.audit(run.folder, [other.folder, run.folder], []).label_errors.errors
    assert error.id == saved.ids[5]
    assert error.suggested_probability == pytest.approx(0.85)
    found = audit.audit(run.folder, [other.folder, run.folder], [])
    assert "by 2 runs" in audit.format_report(found, "photos.yaml")


def test_the_runs_of_all_folds_evaluate_every_image_of_a_fold(workspace):
    folds = []
    for number in (1, 2):
        data = {
            "name": "digits",
            "store_dir": str(workspace / "data"),
            "validation": 0,
            "fold": f"{number}/2",
        }
        folds.append(make_run(workspace / str(number), per_class=PER_CLASS, data=data))
        store, split = lookup.open_run_store(folds[-1].data, str(workspace / "data"))
        audits.save_report(audits.run_checks(store, split, [])[0], store, split.key)
    saved = [predict(fold, wrong=[number]) for number, fold in enumerate(folds)]
    report = audit.audit(folds[0].folder, [folds[1].folder], [])
    assert report.label_errors.evaluated == int((split.folds > 0).sum())
    assert sorted(list_ids(report)) == sorted([saved[0].ids[0], saved[1].ids[1]])


@pytest.mark.parametrize(("fraction", "reliable"), [(0.19, True), (0.21, False)])
def test_suspects_of_a_model_with_an_accuracy_below_four_fifths_are_called_unreliable(
    run, fraction, reliable
):
    count = run.data.sizes["test"]
    wrong = round(fraction * count)
    predict(run, wrong=range(wrong))
    exit_code, stdout, _ = command("audit", run.folder)
    found = json.loads(command("audit", run.folder, "--json")[1])["label_errors"]
    accuracy = (count - wrong) / count
    assert exit_code == 0
    assert found["accuracy"] == pytest.approx(accuracy)
    assert (found["evaluated"], found["reliable"]) == (count, reliable)
    assert found["runs"] == [
        {"run": str(run.folder), "images": count, "accuracy": found["accuracy"]}
    ]
    assert f"with an accuracy of {accuracy:.3f}" in stdout
    assert (", UNRELIABLE\n" in stdout) == (not reliable)
    assert ("train a better model before you change labels" in stdout) == (not reliable)
    assert ("fix wrong labels in the source" in stdout) == reliable


def test_each_of_several_runs_is_listed_with_its_own_accuracy_and_images(run, workspace):
    count = run.data.sizes["test"]
    shutil.copytree(run.folder, workspace / "2")
    other = type(run)(workspace / "2")
    predict(other, wrong=range(count // 2), confidence=0.6)
    predict(other, split="validation")
    report = audit.audit(run.folder, [other.folder], []).label_errors
    more = count + run.data.sizes["validation"]
    accuracies = [(each.images, each.accuracy) for each in report.runs]
    assert accuracies == [(count, 1.0), (more, pytest.approx(1 - count // 2 / more))]
    # The mean of 0.9 for the label and 0.6 for another class is still the label.
    assert (report.evaluated, report.accuracy) == (more, 1.0)


def test_the_command_shows_the_report_and_that_no_label_is_suspected(run):
    exit_code, stdout, _ = command("audit", run.folder)
    assert exit_code == 0
    assert "exact_duplicates" in stdout
    assert "next: imgcls train" not in stdout
    count, total = run.data.sizes["test"], sum(run.data.sizes.values())
    assert "label errors: 0 labels suspected\n" in stdout
    assert (
        f"{count} of {total} images ({100 * count / total:.0f} %) were held out and predicted,"
        " by 1 run, with an accuracy of 1.000\n"
    ) in stdout
    assert "the other images were trained on, or not predicted" in stdout
    report = json.loads(command("audit", run.folder, "--json")[1])
    assert report["audit"]["checks"].keys() == set(parts.list_names("checks"))
    assert report["fingerprint"] == run.data.fingerprint


def test_the_report_shows_five_examples_and_claims_no_other_number_than_the_count():
    found = ReportedFinding(
        check="unreadable",
        policy="note",
        count=900,
        message="900 images",
        examples=[[f"{i}.png"] for i in range(20)],
        leakage=False,
        dropped=0,
    )
    report = AuditReport(outcome="findings", checks={"unreadable": "note"}, findings=[found])
    shown = "unreadable: 900 images\n  such as 0.png, 1.png, 2.png, 3.png, 4.png\n"
    assert shown in audits.format_report(report, None)


def test_without_a_run_there_are_no_label_errors(run):
    report = audit.audit(run.config_file, [], [])
    assert report.label_errors is None
    assert "label errors" not in audit.format_report(report, "photos.yaml")


def test_a_run_without_predictions_is_an_error_that_says_what_to_run(run):
    run.predictions_file("test").unlink()
    with pytest.raises(
        DataError,
        match=(
            r"no predictions of images that it did not train on; run `imgcls eval .* --split"
            r" validation` or"
        ),
    ):
        audit.audit(run.folder, [], [])


def test_predictions_of_other_images_or_models_are_an_error(run):
    saved = predict(run)
    changed = [
        replace(saved, ids=saved.ids[::-1]),
        replace(saved, model="another"),
    ]
    for other in changed:
        predictions.save(other, run.predictions_file("test"))
        with pytest.raises(
            DataError,
            match=r"is not of this run's data and model; run `imgcls eval .* --split test` again",
        ):
            audit.audit(run.folder, [], [])


def test_damaged_predictions_are_an_error_with_their_path(run):
    run.predictions_file("test").write_bytes(b"PK damaged")
    with pytest.raises(DataError, match=r"predictions\.npz is damaged .*; run `imgcls eval"):
        audit.audit(run.folder, [], [])


def test_a_run_of_other_data_is_an_error(run, workspace):
    (workspace / "other").mkdir()
    other = make_run(workspace / "other" / "1", per_class=PER_CLASS + 1)
    with pytest.raises(DataError, match="was trained on other data"):
        audit.audit(run.folder, [other.folder], [])


def test_a_path_that_is_not_a_run_folder_is_an_error(run):
    with pytest.raises(
        UserError, match=r"nowhere is not a run: it does not exist; give a run folder"
    ):
        audit.audit(run.folder, [run.folder.parent / "nowhere"], [])


def test_a_split_without_an_audit_is_an_error_that_says_what_to_run(workspace):
    made = make_run(workspace / "1")
    with pytest.raises(DataError, match="has no audit of this split; run `imgcls prepare` again"):
        audit.audit(made.folder, [], [])
    with pytest.raises(
        DataError,
        match=(
            r"no data in .* was audited for these settings and seed 0; run `imgcls prepare`"
            r" first"
        ),
    ):
        audit.audit(made.config_file, [], [])
