"""`imgcls predict`: which images it finds, and what it writes."""

import json
import os
from pathlib import Path

import numpy
import pytest
from experiments import command
from PIL import Image
from predicted_runs import predict_lines, predict_stdin, read_csv, write_run_and_images
from rich.cells import cell_len
from typer.testing import CliRunner

from imgcls.cli.main import app
from imgcls.evaluation import predictions
from imgcls.io import files
from imgcls.prediction import writers
from imgcls.run import Run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run on photos, and with some images."""
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_run_and_images()
    return folder


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


def test_a_pattern_that_matches_folders_gives_each_of_their_images_once(copied):
    assert list_paths("images/[b]") == [f"images/{name}" for name in SORTED[2:]]
    assert list_paths("images/**") == [f"images/{name}" for name in SORTED]


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
        "damaged, or not a PNG, JPEG, WebP, BMP, GIF, TIFF or AVIF image",
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
    _, _, stderr = command("predict", "run", "images", "missing.png", "--threshold", limit)
    assert "note: 3 of 5 predictions are accepted" in stderr


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


def test_many_rows_are_several_tables(copied, monkeypatch):
    _, one, _ = command("predict", "run", "images")
    monkeypatch.setattr(writers, "TABLE_ROWS", 2)
    _, several, _ = command("predict", "run", "images", "--batch-size", "1")
    head, *rows = one.splitlines()
    tables = [table.splitlines() for table in several.split("\n\n")]
    assert [len(table) - 1 for table in tables] == [2, 2, 1]
    assert all(table[0].split() == head.split() for table in tables)
    names = [line.split()[0] for table in tables for line in table[1:]]
    assert names == [line.split()[0] for line in rows]


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
