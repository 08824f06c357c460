"""`predict` on the files of a split gives the bits that `eval` saves for it, however they are
stored.
"""

import json
import shutil

import numpy
import pytest
from experiments import TINY, command, json_of, write_experiment
from PIL import Image
from predicted_runs import make_run, predict_lines

from imgcls.evaluation import predictions
from imgcls.evaluation.predictions import Predictions
from imgcls.run import Run
from imgcls.store import file_reader, lookup
from imgcls.training import checkpoint_file

STORAGES = {
    "pixels": {"resize": "pad", "channels": 3},
    "gray pixels": {"resize": "crop", "channels": 1},
    "larger pixels": {"resize": "stretch", "channels": 4, "stored_size": [19, 30]},
    "encoded": {"resize": "crop", "channels": 4, "storage": "encoded"},
    "shrunk": {"resize": "pad", "storage": "encoded", "short_side": 20},
    "restart markers": {"channels": 1, "storage": "encoded", "restart_markers": True},
    "shrunk with restart markers": {
        "resize": "crop",
        "storage": "encoded",
        "short_side": 40,
        "restart_markers": True,
    },
}


def evaluate(run: Run, split: str = "test", *options: str) -> Predictions:
    json_of("eval", run.folder, "--split", split, *options)
    return predictions.load(run, split)


def read_probabilities(lines: list[dict]) -> numpy.ndarray:
    return numpy.float32([list(line["probabilities"].values()) for line in lines])


@pytest.mark.parametrize(
    ("storage", "few"), [*[(name, 0) for name in STORAGES], ("shrunk with restart markers", 100)]
)
def test_predictions_on_files_are_those_of_eval_bit_for_bit(tmp_path, storage, few, monkeypatch):
    """With data workers, and in this process, as a few files are read."""
    monkeypatch.setattr(file_reader, "_MAX_WITHOUT_WORKERS", few)
    run = make_run(tmp_path, **STORAGES[storage])
    expected = evaluate(run)
    shutil.rmtree(tmp_path / "data")
    paths = [tmp_path / "photos" / name for name in expected.ids]
    lines = predict_lines(run.folder, *paths, "--probabilities")
    assert [line["path"] for line in lines] == list(map(str, paths))
    assert len(paths) > 16
    numpy.testing.assert_array_equal(read_probabilities(lines), expected.probabilities)
    assert list(lines[0]["probabilities"]) == expected.classes


def test_files_that_cannot_be_read_do_not_change_the_bits_of_the_others(tmp_path):
    run = make_run(tmp_path, storage="encoded", batch_size=7)
    expected = evaluate(run)
    (tmp_path / "empty.png").touch()
    paths = [str(tmp_path / "photos" / name) for name in expected.ids]
    broken = [tmp_path / "empty.png", "missing.png"]
    mixed = [broken[0], *paths[:5], *broken, *paths[5:7], broken[1], *paths[7:], broken[0]]
    lines = predict_lines(run.folder, *mixed, "--probabilities", exit_code=3)
    assert [line["path"] for line in lines] == list(map(str, mixed))
    assert [line["path"] for line in lines if "error" not in line] == paths
    read = [line for line in lines if "error" not in line]
    numpy.testing.assert_array_equal(read_probabilities(read), expected.probabilities)


@pytest.mark.parametrize("method", ["flip", "flip_shift"])
def test_test_time_augmentation_gives_the_averages_of_eval_bit_for_bit(tmp_path, method):
    run = make_run(tmp_path)
    expected = evaluate(run, "test", "--set", f"evaluate.tta=[{method}]")
    averages = predictions.load(run, "test", method).probabilities
    paths = [tmp_path / "photos" / name for name in expected.ids]
    lines = predict_lines(run.folder, *paths, "--probabilities", "--tta", method)
    numpy.testing.assert_array_equal(read_probabilities(lines), averages)
    assert not numpy.array_equal(averages, expected.probabilities)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run on digits, whose temperature is 1, and the digits as PNG files."""
    folder = tmp_path_factory.mktemp("predicted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train = {**TINY["train"], "epochs": 3, "calibration": "none"}
        settings = {"bootstrap_samples": 100, "metrics": [{"name": "accuracy"}]}
        write_experiment(folder, {**TINY, "train": train, "evaluate": settings})
        json_of("prepare", "experiment.yaml")
        json_of("train", "experiment.yaml", "--run", "run")
        run = Run(folder / "run")
        found = evaluate(run)
        store, split = lookup.open_run_store(run.data, "data")
        (folder / "digits").mkdir()
        pixels = store.open_reader(split.geometry).read(split.test)
        for number, image in enumerate(pixels):
            Image.fromarray(image[..., 0]).save(f"digits/{number:03d}.png")
        assert len(found.ids) == len(pixels)
    return folder


def test_files_are_read_at_the_models_size_if_the_data_set_has_none(copied):
    expected = predictions.load(Run(copied / "run"), "test").probabilities
    lines = predict_lines("run", "digits", "--probabilities")
    numpy.testing.assert_array_equal(read_probabilities(lines), expected)


def interrupt(run: Run) -> Run:
    """Make a finished run one that was interrupted before it wrote its model."""
    run.model_file.unlink()
    run.write_status("interrupted", step=run.status.step)
    return run


def test_an_unfinished_run_predicts_with_its_best_weights_so_far_and_says_so(copied):
    expected = predictions.load(Run(copied / "run"), "test").probabilities
    run = interrupt(Run(copied / "run"))
    (best,) = run.best_weights_files()
    _, stdout, stderr = command("predict", "run", "digits", "--format", "csv", "--probabilities")
    columns = [line.split(",")[3:13] for line in stdout.splitlines()[1:]]
    numpy.testing.assert_array_equal(numpy.float32(columns), expected)
    epoch = best.stem.removeprefix("best-")
    assert (
        f"run is interrupted, not finished: predicting with its weights of epoch {epoch}" in stderr
    )
    assert "the probabilities are not calibrated" in stderr


def test_an_unfinished_run_without_a_complete_epoch_predicts_with_its_newest_checkpoint(copied):
    run = interrupt(Run(copied / "run"))
    newest = run.state_files()[0]
    header, arrays = checkpoint_file.read(newest)
    counters = header.counters.model_copy(update={"epochs": [], "step": 2})
    snapshot = checkpoint_file.Snapshot(header.paths, list(arrays.values()))
    for path in run.state_files():
        path.unlink()
    checkpoint_file.write(run.state_file(2), snapshot, counters)
    exit_code, stdout, stderr = command("predict", "run", "digits/000.png", "--format", "jsonl")
    assert (exit_code, stdout.count("\n")) == (0, 1), stderr
    assert "its weights of step 2, after 0 complete epochs" in stderr


def test_an_unfinished_run_predicts_with_averages_of_the_weights_if_it_trains_with_them(copied):
    settings = "train.ema={decay: 0.5}", "train.select_weights=last", "train.epochs=1"
    options = [word for each in settings for word in ("--set", each)]
    json_of("train", "experiment.yaml", "--run", "averaged", *options)
    lines = predict_lines("averaged", "digits/000.png", "--probabilities")
    interrupt(Run(copied / "averaged"))
    assert predict_lines("averaged", "digits/000.png", "--probabilities") == lines


def test_the_sets_of_an_unfinished_run_are_calibrated_with_its_own_weights(copied):
    options = ["predict", "run", "digits", "--coverage", "0.9", "--json"]
    finished = json.loads(command(*options)[1])
    interrupt(Run(copied / "run"))
    shutil.rmtree(copied / "run" / "evaluation")
    _, stdout, stderr = command(*options)
    unfinished = json.loads(stdout)
    assert unfinished["predictions"] == finished["predictions"]
    assert unfinished["calibration_images"] == Run(copied / "run").data.sizes["validation"]
    assert f"calibrated on {unfinished['calibration_images']} validation images" in stderr
    assert not (copied / "run" / "evaluation").exists()
    shutil.rmtree(copied / "data")
    assert command(*options)[0] == 3


def test_an_unfinished_run_without_a_checkpoint_is_an_error_that_says_what_to_run(copied):
    run = interrupt(Run(copied / "run"))
    shutil.rmtree(run.checkpoint_folder)
    exit_code, stdout, stderr = command("predict", "run", "digits")
    assert (exit_code, stdout) == (3, "")
    assert "run `imgcls train run/config.yaml --run run` first" in stderr
