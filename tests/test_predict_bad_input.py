"""`imgcls predict` refuses bad input in one line, and leaves no file behind when it is stopped."""

import errno
import os
from pathlib import Path

import pytest
from experiments import change_json, command
from predicted_runs import predict_stdin, write_model, write_run_and_images

from imgcls.image.decode import Geometry
from imgcls.run import Run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run on photos, and with some images."""
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_run_and_images()
    return folder


BAD = {
    "--top-k 0": "--top-k must be from 1 to 2, the classes; got 0",
    "--top-k 3": "--top-k must be from 1 to 2, the classes; got 3",
    "--threshold 0": "--threshold must be above 0 and at most 1; got 0.0",
    "--threshold 1.5": "--threshold must be above 0 and at most 1; got 1.5",
    "--coverage 1": "--coverage must be above 0 and below 1; got 1.0",
    "--batch-size 0": "--batch-size must be at least 1; got 0",
    "--score lax": "--score lax: allowed: lac, aps, raps (did you mean 'lac'?)",
    "--tta flop": "--tta flop: allowed: flip, shift, flip_shift (did you mean 'flip'?)",
    "--format cvs": "--format cvs: allowed: table, csv, jsonl, json, parquet (did you mean 'csv'?)",
    "--format parquet": "--format parquet needs --output FILE; stdout takes text only",
    "--json --format csv": "--json and --format csv contradict each other; give one of them",
    "--probabilities": "--probabilities needs --format csv, jsonl, json or parquet",
    "--output rows.txt": "its ending does not tell the format; add --format, one of table, csv,",
    "--output no/rows.csv": "the folder no does not exist; create it, or choose another one",
    "--output photos --format csv": "photos is a folder; give the name of a file in it",
    "--features f.csv": "give a file ending in .npz or .parquet",
    "--features no/f.npz": "the folder no does not exist",
    "--set train.epochs=9": "--set cannot change how run was trained",
}


@pytest.mark.parametrize("options", BAD)
def test_a_wrong_option_is_an_error_before_any_work(copied, options):
    exit_code, stdout, stderr = command("predict", "run", "images", *options.split())
    assert (exit_code, stdout) == (2, "")
    assert BAD[options] in stderr
    assert stderr.count("\n") == 1


def test_nothing_to_predict_is_an_error(copied):
    assert command("predict", "run")[0] == 2
    exit_code, _, stderr = predict_stdin(b"\n", "-")
    assert exit_code == 2
    assert "stdin has no paths" in stderr


def test_sets_need_validation_images(copied):
    sizes = Run(Path("run")).data.sizes
    counts = {**Run(Path("run")).data.class_counts, "validation": [0, 0]}
    data_file = Run(Path("run")).data_file
    change_json(data_file, sizes={**sizes, "validation": 0}, class_counts=counts)
    exit_code, _, stderr = command("predict", "run", "images", "--coverage", "0.9")
    assert exit_code == 2
    assert "--coverage needs validation images" in stderr


def test_what_is_not_a_run_of_this_format_is_one_line(copied):
    assert "is not a run" in command("predict", "images", "images")[2]
    change_json(Run(Path("run")).status_file, format=4)
    exit_code, _, stderr = command("predict", "run", "images")
    assert (exit_code, stderr.count("\n")) == (3, 1)
    assert "train a new run" in stderr


def test_a_model_of_other_images_is_refused(copied):
    write_model(Run(Path("run")), Geometry((5, 5, 3), "pad"))
    exit_code, _, stderr = command("predict", "run", "images")
    assert exit_code == 3
    assert "is the model of another run: its input shape is (5, 5, 3)" in stderr


@pytest.mark.parametrize("name", ["rows.csv", "features.npz"])
def test_a_full_disk_leaves_the_old_file(copied, monkeypatch, name):
    Path(name).write_text("old")
    before = sorted(path.name for path in Path().iterdir())

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    option = "--output" if name == "rows.csv" else "--features"
    exit_code, _, stderr = command("predict", "run", "images", option, name)
    assert exit_code == 2
    assert f"the disk is full: cannot write {name}" in stderr
    assert Path(name).read_text() == "old"
    assert sorted(path.name for path in Path().iterdir()) == before


def test_an_interruption_leaves_no_file(copied, monkeypatch):
    from imgcls.prediction.classifier import Classifier

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Classifier, "predict_images", interrupt)
    monkeypatch.setattr(Classifier, "_predict_batch", interrupt)
    exit_code, _, _ = command("predict", "run", "images", "--output", "rows.csv")
    assert exit_code == 75
    assert not [path for path in Path().iterdir() if "rows" in path.name]
