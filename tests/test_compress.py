"""`compress` makes a run of another one, which every command takes."""

import json
import shutil
from pathlib import Path

import numpy
import pytest
from compression_tables import make_table
from experiments import command, json_of
from exportable_run import list_files, make_run, predict_in_keras, read_split

from imgcls.backend import keras
from imgcls.errors import DataError, UserError
from imgcls.io import files
from imgcls.run import Run
from imgcls.training.model_description import read_description
from imgcls.verbs import compress

pytestmark = pytest.mark.usefixtures("quick_measurement")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compressible")
    make_run(folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A finished run."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return Run(tmp_path / "run")


def with_methods(run, *methods):
    """Return a run's experiment with methods of compression."""
    content = run.experiment.model_dump() | {"compress": list(methods)}
    return type(run.experiment).model_validate(content)


def fold(run, folder=None):
    """Return a run that was made by folding batch norm."""
    summary = compress.compress(run, with_methods(run, "fold"), folder)
    return Run(Path(summary.run))


def test_a_compressed_run_lies_beside_the_original_and_is_numbered(run):
    assert fold(run).folder == run.folder.with_name("run-fold-1")
    assert fold(run).folder == run.folder.with_name("run-fold-2")


def test_the_record_says_what_was_compressed_and_how(run):
    made = fold(run)
    found = made.compression
    assert found.original == str(run.folder)
    assert found.original_sha256 == files.compute_sha256(run.model_file)
    assert [(step.settings, step.details) for step in found.steps] == [
        ({"name": "fold"}, {"folded": 1, "left": 0, "reasons": {}})
    ]
    assert made.status.status == "finished"


def test_a_folded_run_predicts_what_the_original_does(run):
    made = fold(run)
    images, _ = read_split(run)
    numpy.testing.assert_allclose(
        predict_in_keras(made, images), predict_in_keras(run, images), atol=1e-5
    )
    model = keras.models.load_model(made.model_file, compile=False)
    assert not [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    assert read_description(made.model_file).calibration.temperature == 1.5


def test_a_compressed_run_that_is_compressed_again_names_both_methods(run):
    again = fold(fold(run)).compression
    assert [step.settings["name"] for step in (*again.earlier, *again.steps)] == ["fold", "fold"]
    assert again.steps[0].details["folded"] == 0


def test_the_same_folder_again_changes_nothing(run, capsys):
    made = fold(run, run.folder.with_name("small"))
    before = {path: (made.folder / path).stat().st_mtime_ns for path in list_files(made.folder)}
    assert fold(run, made.folder) == made
    assert "there is nothing to compress" in capsys.readouterr().err
    assert before == {path: (made.folder / path).stat().st_mtime_ns for path in before}


def test_an_interrupted_compression_is_continued(run, monkeypatch):
    from imgcls.compression import chain

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(chain.model_file, "save_model", fail)
        with pytest.raises(KeyboardInterrupt):
            fold(run)
    (unfinished,) = run.folder.parent.glob("run-fold-*")
    assert Run(unfinished).status.status == "interrupted"
    with pytest.raises(DataError, match=r"run `imgcls compress .* --method fold --run .*` first"):
        fold(Run(unfinished))
    assert fold(run).folder == unfinished
    assert Run(unfinished).status.status == "finished"


def test_a_full_disk_leaves_an_error_and_no_model(run, monkeypatch):
    from imgcls.compression import chain

    def fail(model, description, path):
        with files.explain_errors(path):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(chain.model_file, "save_model", fail)
    with pytest.raises(UserError, match="the disk is full"):
        fold(run)
    (unfinished,) = run.folder.parent.glob("run-fold-*")
    assert Run(unfinished).status.status == "failed"
    assert not Run(unfinished).model_file.exists()


def test_a_run_without_its_data_is_folded(run):
    shutil.copytree(run.experiment.data.store_dir, run.folder.parent / "moved")
    content = run.config_file.read_text().replace(
        run.experiment.data.store_dir, str(run.folder / "nowhere")
    )
    run.config_file.write_text(content)
    assert fold(run).model_file.is_file()


def test_an_unfinished_run_is_refused(run):
    run.write_status("interrupted", step=1, exit_code=75)
    exit_code, _, stderr = command("compress", run.folder, "--method", "fold")
    assert exit_code == 3
    assert "not finished" in stderr


def test_a_run_of_other_classes_is_refused(run):
    content = json.loads(run.data_file.read_text())
    content["classes"][0] = "other"
    run.data_file.write_text(json.dumps(content))
    exit_code, _, stderr = command("compress", run.folder, "--method", "fold")
    assert exit_code == 3
    assert "class 0" in stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no method is given"),
        (["--method", "folt"], "did you mean 'fold'"),
        (["--method", "fold", "--set", "compress.0.depth=2"], "depth"),
        (["--method", "fold", "--set", "train.epochs=2"], "--set cannot change"),
    ],
)
def test_wrong_options_are_explained(run, options, message):
    exit_code, _, stderr = command("compress", run.folder, *options)
    assert exit_code == 2
    assert message in stderr


@pytest.mark.parametrize("kind", ["other methods", "a trained run", "another folder"])
def test_a_folder_with_something_else_is_refused(run, kind):
    folder = {"a trained run": run.folder}.get(kind, run.folder.with_name("small"))
    if kind == "other methods":
        compress.compress(run, with_methods(run, "fold", "fold"), folder)
    if kind == "another folder":
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="choose"):
        fold(run, folder)


def test_train_refuses_to_continue_a_compressed_run(run):
    made = fold(run)
    exit_code, _, stderr = command("train", made.config_file, "--run", made.folder)
    assert exit_code == 2
    assert "was compressed, not trained" in stderr


def test_the_command_prints_where_the_model_is(run):
    summary = json_of("compress", run.folder, "--method", "fold", "--method", "fold")
    assert summary["run"] == str(run.folder.with_name("run-fold-fold-1"))
    steps = Run(Path(summary["run"])).compression.steps
    assert [step.details["folded"] for step in steps] == [1, 0]


def test_a_chain_in_the_experiment_is_applied(run):
    run.config_file.write_text(
        run.config_file.read_text().replace("compress: []", "compress: [fold]")
    )
    made = Run(Path(json_of("compress", run.folder)["run"]))
    assert made.compression.describe() == "fold"


def test_the_table_compares_both_models_on_validation_and_test(run):
    table = json_of("compress", run.folder, "--method", "fold")
    for found in table["compared"]:
        images, labels = read_split(run, found["split"])
        right = predict_in_keras(run, images).argmax(axis=1) == labels
        assert found["images"] == len(images)
        assert found["original"] == found["accuracy"] == pytest.approx(right.mean())
        assert (found["difference"], found["agreement"]) == (0, 1)
        recalls = [right[labels == each].mean() for each in range(10)]
        assert found["worst_class_recall"] == pytest.approx(min(recalls))
    assert [each["split"] for each in table["compared"]] == ["validation", "test"]
    model = keras.models.load_model(run.model_file, compile=False)
    assert table["before"]["parameters"] == model.count_params()
    assert table["before"]["parameters"] - table["after"]["parameters"] == 4 * 8
    assert table["before"]["multiply_adds"] == table["after"]["multiply_adds"] > 8 * 8 * 8 * 9
    assert table["before"]["bytes"] == run.model_file.stat().st_size


def test_the_table_without_data_is_of_the_sample_that_the_run_keeps(run):
    store = run.experiment.data.store_dir
    run.config_file.write_text(run.config_file.read_text().replace(store, f"{store}-moved"))
    (found,) = json_of("compress", run.folder, "--method", "fold")["compared"]
    assert (found["split"], found["images_from"]) == ("validation", "sample")


def test_a_gate_that_fails_ends_with_exit_code_6_and_the_table(run):
    gate = ["--fail-under", "worst_class_recall=0.999"]
    exit_code, stdout, stderr = command("compress", run.folder, "--method", "fold", *gate)
    assert exit_code == 6
    assert "wilson_interval" in stdout
    assert "worst_class_recall is" in stderr


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"milliseconds_1": 3.0}, "warning: slower: batches of 1 take 3.00 times as long"),
        ({"split": {"halved": ["cat"]}}, "at most half of what it was on validation: cat"),
    ],
)
def test_what_is_worse_is_a_warning(changes, warning):
    assert warning in compress.format_report(make_table(**changes))
    assert "warning" not in compress.format_report(make_table())


def test_the_report_has_the_intervals_of_accuracies_and_fits_80_columns():
    classes = {"worst_class": "a name as long as those of ImageNet, which take many letters"}
    report = compress.format_report(make_table(split=classes))
    assert max(map(len, report.splitlines())) <= 80
    _, accuracies, differences, costs = report.split("\n\n")
    assert [line.split() for line in accuracies.splitlines()] == [
        ["split", "model", "accuracy", "wilson_interval", "worst_class_recall"],
        ["validation", "original", "0.9500", "[0.9000,", "1.0000]", "1.0000"],
        ["validation", "compressed", "0.9000", "[0.8000,", "0.9500]", "0.8000"],
    ]
    assert "[-0.0800, -0.0200]" in differences
    assert costs.splitlines()[-1].split() == ["peak_memory_mib", "90.0000", "45.0000", "0.5000"]
