"""`imgcls predict`: which images it finds, what it writes, and how it refuses bad input."""

import errno
import json
import os
from pathlib import Path

import numpy
import pytest
from experiments import change_json, command
from PIL import Image
from predicted_runs import make_run, predict_lines, read_csv, write_model
from rich.cells import cell_len
from typer.testing import CliRunner

from imgcls.cli.main import app
from imgcls.evaluation import predictions
from imgcls.image.decode import Geometry
from imgcls.io import files
from imgcls.run import Run

MODULE = pytest.fixture(scope="module")


@MODULE
def trained(tmp_path_factory):
    """A folder with a run on photos, whose data is gone, and with some images."""
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_run(Path())
        generator = numpy.random.default_rng(0)
        for name in ("b/2.png", "b.png", "b/1.PNG", "a.jpg", "b/c/0.webp"):
            path = Path("images") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (20, 30, 3), numpy.uint8)).save(path)
    return folder


def predict_stdin(text: bytes, *arguments: str) -> tuple[int, list[str], str]:
    """Return the exit code, the paths and stderr of a command with paths on stdin."""
    words = ["predict", "run", *arguments, "--format", "jsonl"]
    result = CliRunner().invoke(app, words, input=text)
    paths = [json.loads(line)["path"] for line in result.stdout.splitlines()]
    return result.exit_code, paths, result.stderr


def list_paths(*arguments: object, **options: int) -> list[str]:
    return [line["path"] for line in predict_lines("run", *arguments, **options)]


SORTED = ["a.jpg", "b.png", "b/1.PNG", "b/2.png", "b/c/0.webp"]


def test_a_folder_is_searched_in_the_order_of_its_paths_and_other_files_are_noted(copied):
    Path("images/notes.txt").touch()
    Path("images/b/.hidden.png").touch()
    _, stdout, stderr = command("predict", "run", "images", "--format", "jsonl")
    paths = [json.loads(line)["path"] for line in stdout.splitlines()]
    assert paths == [f"images/{name}" for name in SORTED]
    assert "note: ignored 2 files in folders" in stderr
    assert "hidden 1, .txt 1" in stderr or ".txt 1, hidden 1" in stderr


def test_files_and_patterns_keep_their_order(copied):
    arguments = ["images/b/2.png", "images/*.???", "images/b/2.png", "images/**/*.webp"]
    names = ["b/2.png", "a.jpg", "b.png", "b/2.png", "b/c/0.webp"]
    assert list_paths(*arguments) == [f"images/{name}" for name in names]


def test_a_file_is_not_taken_for_a_pattern(copied):
    Path("images/a.jpg").rename("[ab].jpg")
    assert list_paths("[ab].jpg") == ["[ab].jpg"]


def test_paths_come_from_stdin_one_a_line_or_ending_in_nul(copied):
    Path("images/a.jpg").rename("images/new\nline.jpg")
    wanted = ["images/b.png", "images/b/1.PNG"]
    assert predict_stdin("\n".join([*wanted, ""]).encode(), "-")[:2] == (0, wanted)
    wanted = ["images/new\nline.jpg", "images/b.png"]
    assert predict_stdin("\0".join(wanted).encode(), "-", "--null")[:2] == (0, wanted)


def test_what_cannot_be_read_has_its_reason_in_its_place_and_ends_with_exit_code_3(copied):
    Path("empty.png").touch()
    Path("text.png").write_text("not an image")
    Path("cut.png").write_bytes(Path("images/b.png").read_bytes()[:200])
    Image.new("L", (11_000, 11_000)).save("large.png")
    Path("nothing").mkdir()
    Path("link.png").symlink_to("gone.png")
    broken = ["empty.png", "text.png", "cut.png", "large.png", "nothing", "no*.png", "link.png"]
    exit_code, stdout, stderr = command(
        "predict", "run", "images/b.png", *broken, "missing.png", "images/a.jpg", "--format", "csv"
    )
    rows = read_csv(stdout)
    assert exit_code == 3
    assert [row["path"] for row in rows][1:-1] == [*broken, "missing.png"]
    assert [bool(row["class"]) for row in rows] == [True, *[False] * 8, True]
    problems = [
        "empty file (0 bytes)",
        "damaged, or not a PNG, JPEG, WebP, BMP or GIF image",
        "image file is truncated",
        "too large: 11000x11000 is 121.0 megapixels, but data.max_megapixels is 100.0",
        "a folder without images",
        "no file matches this pattern",
        "cannot be read: No such file or directory",
        "cannot be read: No such file or directory",
    ]
    for row, problem in zip(rows[1:-1], problems, strict=True):
        assert problem in row["error"]
    assert "imgcls: 8 of 10 images could not be read" in stderr
    assert stderr.count("\nimgcls:   ") == 6
    assert "imgcls:   and 3 more" in stderr


def test_names_with_newlines_and_bytes_that_are_not_utf_8_are_written_in_every_format(copied):
    name = os.fsdecode(b"images/new\nline \xff.png")
    Path("images/b.png").rename(name)
    assert list_paths("images")[1:2] == ["images/b/1.PNG"]
    assert name in list_paths("images")
    result = CliRunner().invoke(app, ["predict", "run", "images", "--format", "csv"])
    assert b'"images/new\nline \xff.png",' in result.stdout_bytes
    _, table, _ = command("predict", "run", "images")
    assert r"images/new\nline \udcff.png" in table


def test_a_row_has_what_the_options_ask_for(copied):
    options = ["--top-k", "2", "--threshold", "0.5", "--coverage", "0.8", "--probabilities"]
    _, stdout, stderr = command("predict", "run", "images", *options, "--format", "csv")
    rows = read_csv(stdout)
    assert list(rows[0]) == [
        "path", "class", "probability", "class_2", "probability_2", "accepted", "prediction_set",
        "probability:a", "probability:b", "error",
    ]  # fmt: skip
    for row, line in zip(rows, predict_lines("run", "images", *options), strict=True):
        assert float(row["probability"]) == line["probability"] == line["top"][0]["probability"]
        assert row["class_2"] == line["top"][1]["class"]
        assert row["accepted"] == "true" == json.dumps(line["accepted"])
        assert json.loads(row["prediction_set"]) == line["prediction_set"]
        assert line["probability"] == max(line["probabilities"].values())
    assert "prediction sets (LAC) with a coverage of 0.8" in stderr


def test_a_prediction_below_the_threshold_is_not_accepted(copied):
    lines = predict_lines("run", "images")
    limit = sorted(line["probability"] for line in lines)[2]
    decided = [line["accepted"] for line in predict_lines("run", "images", "--threshold", limit)]
    assert decided == [line["probability"] >= limit for line in lines]
    assert decided.count(True) == 3


@pytest.mark.parametrize("score", ["lac", "aps"])
def test_prediction_sets_have_the_threshold_of_the_validation_split(copied, score):
    options = ["--coverage", "0.6", "--score", score, "--probabilities"]
    lines = predict_lines("run", "photos", *options)
    found = predictions.load(Run(Path("run")), "validation")
    true = found.probabilities[numpy.arange(len(found.labels)), found.labels].astype(float)
    largest = found.probabilities.max(axis=1).astype(float)
    above = numpy.where(found.probabilities.argmax(axis=1) == found.labels, 0, largest)
    scores = numpy.sort(1 - true if score == "lac" else above)
    rank = int(numpy.ceil((len(scores) + 1) * 0.6))
    threshold = scores[rank - 1] if rank <= len(scores) else numpy.inf
    for line in lines:
        second, first = numpy.sort(numpy.float32(list(line["probabilities"].values()))).tolist()
        both = (1 - second if score == "lac" else first) <= threshold + 1e-9
        assert len(line["prediction_set"]) == 1 + both


def test_a_table_is_80_columns_wide_and_names_the_next_command(copied):
    Path("images/b.png").rename(f"images/{'long' * 30}.png")
    options = ["--top-k", "2", "--threshold", "0.5", "--coverage", "0.8"]
    exit_code, stdout, stderr = command("predict", "run", "images", "missing", *options)
    assert exit_code == 3
    assert max(map(cell_len, stdout.splitlines())) <= 80
    _, narrow, _ = command("predict", "run", "images/a.jpg", "missing")
    assert "error: cannot be read: No such file or directory" in narrow
    assert "run `imgcls eval run`" in stderr


def test_a_json_object_has_the_predictions_and_what_they_are_of(copied):
    found = json.loads(command("predict", "run", "images", "--json")[1])
    assert found["predictions"] == predict_lines("run", "images")
    assert found["model"] == files.compute_sha256(Run(Path("run")).model_file)
    assert (found["run"], found["classes"]) == ("run", ["a", "b"])
    assert (found["images"], found["errors"]) == (5, 0)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json"])
def test_an_output_file_has_what_stdout_would_have(copied, ending):
    _, printed, _ = command("predict", "run", "images", "--format", ending)
    exit_code, stdout, stderr = command("predict", "run", "images", "--output", f"new.{ending}")
    assert (exit_code, stdout) == (0, "")
    assert Path(f"new.{ending}").read_text() == printed
    assert f"new.{ending} has 5 rows, 5 predicted" in stderr


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
