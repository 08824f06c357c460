"""`export` writes an artifact once it predicts what model.keras does, and else nothing."""

import json
import shutil
import subprocess

import exportable_run
import numpy
import pytest
from experiments import command, json_of
from exportable_run import (
    build_logits,
    list_files,
    make_run,
    open_export,
    predict_in_keras,
    read_split,
)

from imgcls.backend import keras, tf
from imgcls.errors import GateError
from imgcls.export import convert
from imgcls.export.record import ExportComparison
from imgcls.exporters import saved_model
from imgcls.io import files
from imgcls.io.records import read_record
from imgcls.run import Run
from imgcls.training import model_file
from imgcls.verbs import export

NAME = "saved_model"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exportable")
    make_run(folder)
    return folder


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A run that was exported; tests only read it."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copytree(trained / "run", folder / "run")
    run = Run(folder / "run")
    return run, export.export(run, formats=[NAME])


@pytest.fixture
def run(trained, tmp_path):
    """A run that was not exported."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return Run(tmp_path / "run")


def test_the_artifact_maps_raw_images_to_the_probabilities_of_the_model(exported):
    run, _ = exported
    images, _ = read_split(run, "test")
    artifact = open_export(run, NAME).folder / "model"
    predict = tf.saved_model.load(str(artifact)).signatures["serving_default"]
    for count in (1, 7, 64):
        found = predict(images=tf.constant(images[:count]))["probabilities"].numpy()
        expected = predict_in_keras(run, images[:count])
        numpy.testing.assert_allclose(found, expected, atol=1e-6)
        assert found.sum(axis=1) == pytest.approx(numpy.ones(count), abs=1e-5)


def test_the_comparison_is_written_beside_the_artifact(exported):
    run, (found,) = exported
    folder = open_export(run, NAME)
    assert read_record(folder.comparison_file, ExportComparison, "") == found
    images, labels = read_split(run)
    right = predict_in_keras(run, images).argmax(axis=1) == labels
    assert (found.split, found.images_from, found.images) == ("validation", "store", len(images))
    assert (found.reference, found.as_trained, found.failed) == ("the model", None, [])
    assert found.agreement == 1
    assert found.largest_difference < 1e-6
    assert found.largest_sum_error < 1e-6
    assert found.largest_batch_difference < 1e-6
    for label, each in enumerate(found.recall):
        assert each.images == (labels == label).sum()
        assert each.before == each.after == right[labels == label].mean()


def test_the_metadata_says_what_a_program_needs_to_know(exported):
    run, _ = exported
    folder = open_export(run, NAME)
    found = folder.read_metadata()
    assert found.model_sha256 == files.compute_sha256(run.model_file)
    assert (found.shape, found.dtype, found.precision) == (run.data.shape, "uint8", "float32")
    assert (found.input, found.output) == ("images", "probabilities")
    assert found.classes == run.data.classes
    assert found.fingerprint == run.data.fingerprint
    assert found.temperature == exportable_run.TEMPERATURE
    assert found.versions["tensorflow"] == tf.__version__
    assert found.versions["keras"] == keras.__version__
    inside = json.loads((folder.folder / "model" / "assets.extra" / "imgcls.json").read_text())
    outside = json.loads(folder.metadata_file.read_text())
    assert {name: outside[name] for name in inside} == inside
    assert outside.keys() - inside.keys() == {"artifact", "sha256", "artifact_sha256"}


def test_the_hashes_are_those_of_sha256sum(exported):
    run, _ = exported
    folder = open_export(run, NAME)
    listed = subprocess.run(
        "find model -type f | LC_ALL=C sort | xargs sha256sum | tee /dev/stderr | sha256sum",
        shell=True,
        cwd=folder.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    found = folder.read_metadata()
    lines = [line.split("  ") for line in listed.stderr.splitlines()]
    assert {path: value for value, path in lines} == found.sha256
    assert listed.stdout.split()[0] == found.artifact_sha256


def test_the_command_prints_what_was_compared(run):
    exit_code, stdout, stderr = command("export", run.folder, "--format", NAME)
    assert (exit_code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0] == f"{run.exports_folder / NAME}: written"
    assert lines[1].startswith("compared with the model on 144 images of the validation split, ")
    assert "agreement" in stdout
    assert max(map(len, lines[1:])) <= 80
    again = json_of("export", run.folder, "--format", NAME, "--format", NAME)
    assert again == [json.loads(open_export(run, NAME).comparison_file.read_text())]


def without_scaling(run):
    return build_logits(run.data.shape, 10, scale=1.0), exportable_run.TEMPERATURE


def without_temperature(run):
    return build_logits(run.data.shape, 10), 1.0


def with_classes_in_another_order(run):
    logits = build_logits(run.data.shape, 10)
    flipped = keras.layers.Lambda(lambda values: values[:, ::-1])(logits.output)
    return keras.Model(logits.input, flipped), exportable_run.TEMPERATURE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_scaling, "the predicted classes agree on 0."),
        (without_temperature, "largest_difference is 0."),
        (with_classes_in_another_order, "the predicted classes agree on 0."),
    ],
)
def test_an_artifact_that_predicts_something_else_ends_with_code_6_and_is_not_written(
    run, monkeypatch, tmp_path, change, reason
):
    other = model_file.make_serving_model(*change(run))
    convert.write_saved_model(other, tmp_path / "other")
    own = saved_model.convert
    monkeypatch.setattr(
        saved_model, "convert", lambda source, *others: own(tmp_path / "other", *others)
    )
    exit_code, stdout, stderr = command("export", run.folder, "--format", NAME)
    assert exit_code == 6
    assert f"{run.exports_folder / NAME} was not written: the artifact does not pre" in stderr
    assert reason in stderr
    assert stdout.splitlines()[0] == f"{run.exports_folder / NAME}: not written"
    assert ("classes whose recall changed" in stdout) == ("classes agree" in reason)
    assert list_files(run.exports_folder) == []


def test_logits_instead_of_probabilities_do_not_pass(run, monkeypatch, tmp_path):
    convert.write_saved_model(build_logits(run.data.shape, 10), tmp_path / "other")
    own = saved_model.convert
    monkeypatch.setattr(
        saved_model, "convert", lambda source, *others: own(tmp_path / "other", *others)
    )
    with pytest.raises(GateError, match="largest_sum_error is ") as failure:
        export.export(run, formats=[NAME])
    assert failure.value.result[0].agreement == 1


def test_a_run_whose_data_is_gone_is_compared_on_its_own_sample(run, tmp_path):
    overrides = ["--set", f"data.store_dir={tmp_path / 'elsewhere'}"]
    exit_code, stdout, stderr = command("export", run.folder, "--format", NAME, *overrides)
    assert exit_code == 0
    assert f"note: comparing on the 144 images in {run.sample_file}: the run's data" in stderr
    assert "144 images of the validation images that the run keeps" in " ".join(stdout.split())
    found = read_record(open_export(run, NAME).comparison_file, ExportComparison, "")
    assert (found.images_from, found.split, found.images) == ("sample", "validation", 144)
    run.sample_file.unlink()
    exit_code, _, stderr = command("export", run.folder, "--format", NAME, *overrides)
    assert exit_code == 3
    assert "does not exist; run `imgcls prepare` on the run's config.yaml" in stderr


def test_a_run_without_validation_images_is_compared_on_its_training_images(tmp_path):
    run = make_run(tmp_path, validation=0.0)
    assert not run.sample_file.exists()
    (found,) = export.export(run, formats=[NAME])
    assert (found.split, found.images) == ("train", run.data.sizes["train"])


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_a_run_of_another_precision_is_exported_in_float32_and_says_so(tmp_path, precision):
    run = make_run(tmp_path, precision)
    (found,) = export.export(run, formats=[NAME])
    assert found.reference == "the model in float32"
    assert found.largest_difference < 1e-6
    assert found.as_trained.precision == precision
    images, _ = read_split(run)
    artifact = open_export(run, NAME).folder / "model"
    predict = tf.saved_model.load(str(artifact)).signatures["serving_default"]
    ours = predict(images=tf.constant(images))["probabilities"].numpy()
    theirs = predict_in_keras(run, images)
    difference = found.as_trained.largest_difference
    if precision == "float64":
        assert difference < 1e-6
    else:  # which rounds to 8 or 11 bits, in other places in other batches
        assert numpy.abs(ours - theirs).max() / 10 < difference < 0.1
    assert found.as_trained.agreement > 0.9
