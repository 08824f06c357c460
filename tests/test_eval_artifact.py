"""`eval --artifact` evaluates what was exported, in its own runtime, beside the artifact."""

import json
import shutil

import pytest
from experiments import change_json, command, json_of
from exportable_run import build_logits, make_run, open_export, write_model

from imgcls.errors import GateError, UserError
from imgcls.evaluation import predictions
from imgcls.family import Family
from imgcls.run import Run
from imgcls.verbs import evaluate, export

NAME = "saved_model"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with an exported run."""
    folder = tmp_path_factory.mktemp("exportable")
    export.export(make_run(folder), formats=[NAME])
    return folder


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.fixture
def artifact(run):
    return open_export(run, NAME).folder / "model"


def refuse(run, artifact, code=3):
    """Return the one line that refuses an artifact."""
    exit_code, stdout, stderr = command("eval", run.folder, "--artifact", artifact)
    assert (exit_code, stdout) == (code, "")
    assert len(stderr.splitlines()) == 1
    assert not artifact.parent.joinpath("evaluation").exists()
    return stderr


def test_the_numbers_are_those_of_the_model_and_lie_beside_the_artifact(run, artifact):
    exit_code, stdout, stderr = command("eval", run.folder, "--artifact", artifact)
    assert (exit_code, stderr) == (0, "")
    folder = open_export(run, NAME)
    assert stdout.startswith(f"{folder.folder}: test split, 359 images, model ")
    assert folder.report_file("test").read_text() == stdout
    assert not (run.folder / "evaluation").exists()
    found = json.loads(folder.metrics_file("test").read_text())
    expected = evaluate.evaluate(run).model_dump(mode="json")
    assert found["model"] == folder.read_metadata().artifact_sha256 != expected["model"]
    for key in ("examples", "classes", "matrices", "per_class"):
        assert found[key] == expected[key]
    assert found["metrics"] == pytest.approx(expected["metrics"], abs=1e-5)
    assert found["intervals"].keys() == expected["intervals"].keys()


def test_thresholds_come_from_the_artifacts_own_predictions_on_validation(run, artifact):
    evaluate.evaluate(run, artifact=artifact)
    folder = open_export(run, NAME)
    own = predictions.load(folder, "validation")
    assert own.model == folder.read_metadata().artifact_sha256
    assert not run.predictions_file("validation").exists()


def test_the_predictions_are_used_again_without_the_store(run, artifact, tmp_path):
    first = json_of("eval", run.folder, "--artifact", artifact, "--split", "validation")
    overrides = ["--set", f"data.store_dir={tmp_path / 'elsewhere'}"]
    arguments = ["--artifact", artifact, *overrides]
    assert json_of("eval", run.folder, "--split", "validation", *arguments) == first
    exit_code, _, stderr = command("eval", run.folder, *arguments)
    assert exit_code == 3
    assert "does not exist; run `imgcls prepare`" in stderr


def test_a_gate_that_fails_ends_with_code_6_after_writing(run, artifact):
    exit_code, stdout, stderr = command(
        "eval", run.folder, "--artifact", artifact, "--fail-under", "accuracy=0.999"
    )
    assert exit_code == 6
    assert "1 of 1 gates failed: accuracy is 0." in stderr
    assert stdout == open_export(run, NAME).report_file("test").read_text()
    with pytest.raises(GateError):
        evaluate.evaluate(run, fail_under={"accuracy": 0.999}, artifact=artifact)


def test_an_artifact_of_another_model_is_refused(run, artifact):
    write_model(run, build_logits(run.data.shape, 10), temperature=2.0)
    assert refuse(run, artifact) == (
        f"imgcls: {artifact} was exported from another model than {run.model_file}; run `imgcls"
        f" export {run.folder} --format saved_model` again\n"
    )


@pytest.mark.parametrize("change", ["changed", "removed", "added"])
def test_an_artifact_that_was_changed_after_the_export_is_refused(run, artifact, change):
    file = artifact / "variables" / "variables.data-00000-of-00001"
    if change == "added":
        file = artifact / "assets" / "new"
    if change == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"x" if change == "changed" else b"")
    expected = f"imgcls: {file} was changed, added or removed after the export; run `imgcls export"
    assert refuse(run, artifact).startswith(expected)


@pytest.mark.parametrize("path", ["exports/saved_model", "exports/onnx/model.onnx", "model.keras"])
def test_what_is_not_an_artifact_is_refused_with_those_that_are(run, artifact, path):
    message = refuse(run, run.folder / path, 2)
    assert f"{run.folder / path} is not an exported artifact: it " in message
    assert f"; give one of {artifact}\n" in message


def test_another_file_beside_an_artifact_is_refused(run, artifact):
    message = refuse(run, artifact.parent / "comparison.json", 2)
    assert f"is not the artifact that {artifact.parent / 'metadata.json'} desc" in message
    assert f"; give {artifact}\n" in message


def test_damaged_metadata_is_a_one_line_error(run, artifact):
    open_export(run, NAME).metadata_file.write_text("{")
    assert refuse(run, artifact).endswith("; export the run again\n")


def test_an_unknown_format_is_refused(run, artifact):
    change_json(open_export(run, NAME).metadata_file, format="later")
    assert "names an unknown format, 'later'" in refuse(run, artifact, 2)


def test_a_family_is_refused(tmp_path, run, artifact, monkeypatch):
    monkeypatch.setattr(Family, "experiment", run.experiment)
    with pytest.raises(UserError, match="is a family; --artifact needs one of its runs"):
        evaluate.evaluate(Family(tmp_path), artifact=artifact)


def test_test_time_augmentation_is_left_out_with_a_note(run, artifact):
    arguments = ["--artifact", artifact, "--set", "evaluate.tta=[flip]"]
    exit_code, _, stderr = command("eval", run.folder, *arguments)
    assert exit_code == 0
    assert "note: an artifact is evaluated without test-time augmentation" in stderr
    assert json.loads(open_export(run, NAME).metrics_file("test").read_text())["tta"] == {}
