"""The command line: results on stdout alone, exit codes, and what people see."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from experiments import TINY, command, json_of, write_experiment
from figure_drawing import after_eval
from PIL import Image

from imgcls import __version__
from imgcls.experiment_file import read_experiment
from imgcls.run import Run
from imgcls.verbs import audit, evaluate, plot, runs, train, verify


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which the tiny experiment went the whole way; tests read it only."""
    folder = tmp_path_factory.mktemp("finished")
    path = write_experiment(folder, {**TINY, "augment": [{"name": "random_crop", "padding": 1}]})
    before = Path.cwd()
    os.chdir(folder)
    results = {name: json_of(name, path) for name in ("prepare", "train", "eval", "plot")}
    os.chdir(before)
    return folder, path, results


@pytest.fixture
def inside(finished, monkeypatch):
    monkeypatch.chdir(finished[0])
    return finished


def test_the_version_is_that_of_the_package():
    assert command("--version")[:2] == (0, f"{__version__}\n")


def test_the_four_commands_fill_the_run_folder(finished):
    folder, _, results = finished
    assert results["prepare"]["sizes"] == {"train": 1294, "validation": 144, "test": 359}
    assert results["train"]["run"] == "runs/tiny/1"
    assert (
        results["eval"]["metrics"]
        == json.loads((folder / "runs/tiny/1/evaluation/test/metrics.json").read_text())["metrics"]
    )
    assert [Path(path).stem for path in results["plot"]] == [*after_eval(), "report"]
    for path in results["plot"]:
        assert (folder / path).stat().st_size > 1000


def test_check_prints_an_experiment_that_reads_back(inside, tmp_path):
    exit_code, stdout, stderr = command("check", inside[1], "--set", "seed=5")
    assert (exit_code, stderr) == (0, "")
    again = tmp_path / "again.yaml"
    again.write_text(stdout)
    assert command("check", again) == (0, stdout, "")
    assert json_of("check", again)["seed"] == 5


def test_prepare_again_reuses_the_store(inside):
    _, path, results = inside
    again = json_of("prepare", path)
    assert again["reused"]
    assert again["assignments"] == {"unchanged": 1797, "new": 0}
    first = again | {"reused": False, "assignments": {"unchanged": 0, "new": 1797}}
    assert first == results["prepare"]


def test_a_python_caller_gets_what_the_command_prints(inside):
    _, path, results = inside
    experiment, run = read_experiment(path), Run(Path("runs/tiny/1"))
    assert train.train(experiment, run.folder) == results["train"]
    assert evaluate.evaluate(run).model_dump(mode="json") == results["eval"]
    assert list(map(str, plot.plot(run, names=["roc"]))) == json_of("plot", run.folder, "roc")
    assert audit.audit(run.folder).model_dump(mode="json") == json_of("audit", run.folder)
    assert verify.verify(experiment) == json_of("verify", path)
    assert runs.list_runs() == json_of("runs")


def test_results_are_readable_as_text_too(inside):
    _, path, _ = inside
    assert "total" in command("prepare", path)[1]
    assert "accuracy" in command("eval", "runs/tiny/1")[1]
    assert (
        command("plot", "runs/tiny/1", "roc")[1]
        == "runs/tiny/1/figures/roc.png\nruns/tiny/1/figures/report.html\n"
    )
    assert "runs/tiny/1  finished       2" in command("runs")[1]
    assert "models/cnn" in command("parts", "models")[1]
    assert json.loads(command("schema")[1])["title"] == "Experiment"


def test_runs_of_nothing_is_an_empty_list(workspace):
    assert json_of("runs") == []
    assert command("runs") == (0, "", "")


def test_evaluating_again_gives_the_same_metrics(inside):
    _, path, results = inside
    assert json_of("eval", path) == results["eval"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["check", "none.yaml"], 2, "cannot read none.yaml: No such file"),
        (["train", "none.yaml"], 2, "cannot read none.yaml: No such file"),
        (["eval", "none.yaml"], 2, "cannot read none.yaml: No such file"),
        (
            ["prepare", "{experiment}", "--set", "data.name=nothing"],
            2,
            "unknown name 'nothing'; allowed: arrays, cifar10, ",
        ),
        (
            ["train", "{experiment}", "--set", "train.epochs=0"],
            2,
            "epochs is 0, so nothing is trained; set head_init, or more epochs",
        ),
        (["train", "{experiment}", "--set", "data.store_dir=nowhere"], 3, "imgcls prepare"),
        (
            ["train", "{experiment}", "--run", "runs/tiny/1", "--set", "seed=9"],
            2,
            "seed: 0 there, 9 here",
        ),
        (
            ["eval", "runs/tiny/1", "--set", "seed=9"],
            2,
            "--set cannot change how runs/tiny/1 was trained",
        ),
        (
            ["eval", "{experiment}", "--set", "train.epochs=9"],
            3,
            "(other runs: 1 with other settings; give the folder",
        ),
        (
            ["train", "{experiment}", "--run", "runs/tiny/1", "--set", "train.epochs=1"],
            2,
            "train.epochs: 2 there, 1 here",
        ),
        (["train", "{experiment}", "--run", "{experiment}/below"], 2, "cannot write"),
        (
            ["train", "{experiment}", "--set", "model.filters=[4,4,4,4,4]"],
            2,
            "images of 8x8 pixels are too small",
        ),
        (["eval", "runs"], 2, "runs is not a run: it has no config.yaml"),
        (["eval", "{experiment}", "--set", "name=other"], 3, "runs/other has no finished run"),
        (["eval", "runs/tiny/1", "--split", "holdout"], 2, "there is no split 'holdout'"),
        (["eval", "runs/tiny/1", "--fail-under", "accuracy=0.999"], 6, "accuracy is 0."),
        (["eval", "runs/tiny/1", "--fail-under", "log_loss=1"], 2, "better when lower"),
        (["plot", "runs/tiny/1", "rock"], 2, "unknown figure 'rock'"),
        (["parts", "model"], 2, "did you mean 'models'?"),
        (["train"], 2, "Missing argument"),
        (["learn"], 2, "No such command"),
        (["train", "{experiment}", "--epochs", "3"], 2, "No such option"),
    ],
)
def test_a_mistake_ends_with_its_exit_code_and_one_clear_message(
    inside, arguments, exit_code, message
):
    found, stdout, stderr = command(
        *[argument.replace("{experiment}", str(inside[1])) for argument in arguments]
    )
    assert (found, message in " ".join(stderr.split())) == (exit_code, True), stderr
    assert "Traceback" not in stderr
    if exit_code != 6:
        assert stdout == ""


def test_a_folder_of_photos_goes_the_whole_way(workspace):
    generator = numpy.random.default_rng(0)
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        for i in range(30):
            (workspace / "photos" / name).mkdir(parents=True, exist_ok=True)
            noise = generator.integers(0, 50, (20 + i, 30, 3))
            Image.fromarray((numpy.array(colour) + noise).astype(numpy.uint8)).save(
                workspace / "photos" / name / f"{i}.png"
            )
    (workspace / "photos" / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    content = {
        **TINY,
        "name": "photos",
        "data": {"name": "folder", "path": "photos", "size": [16, 16]},
    }
    content["train"] = {
        "epochs": 8,
        "batch_size": 16,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
    }
    path = write_experiment(workspace, content)
    exit_code, _, stderr = command("prepare", path)
    assert exit_code == 3
    assert "red/broken.png" in stderr
    with path.open("a") as stream:
        stream.write("seed: 1\n")
    skip = ("--set", "data.on_bad_image=skip")
    assert json_of("prepare", path, *skip)["bad_images"][0]["id"] == "red/broken.png"
    json_of("train", path, *skip)
    metrics = json_of("eval", path, *skip, "--fail-under", "accuracy=0.9")
    assert (metrics["classes"], metrics["examples"]) == (["blue", "red"], 12)
    assert len(json_of("plot", path, *skip)) == len(after_eval())  # all but augmented_samples


def process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "imgcls.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        **options,
    )


def test_a_log_holds_one_plain_line_an_epoch_and_nothing_of_tensorflow(finished, tmp_path):
    folder, path, _ = finished
    result = process("train", path, "--run", tmp_path / "run", "--json", cwd=folder, check=True)
    assert json.loads(result.stdout)["status"] == "finished"
    model, *epochs = [re.sub(r"[\d.,]+(e-\d+)?", "#", each) for each in result.stderr.splitlines()]
    numbers = "loss #  accuracy #  val_loss #  val_accuracy #  learning_rate #"
    assert epochs == [f"epoch #/#  {numbers}  # s  # images/s"] * 2
    assert model == "note: model cnn: # parameters# images of #x#x#"


def test_a_terminal_shows_a_bar_with_the_time_left_and_images_per_second(finished, tmp_path):
    folder, path, _ = finished
    mine, theirs = pty.openpty()
    arguments = [
        sys.executable,
        "-m",
        "imgcls.cli",
        "train",
        str(path),
        "--run",
        str(tmp_path / "run"),
        "--set",
        "train.epochs=30",
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    running = subprocess.Popen(
        arguments, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # so Linux reports the end of a terminal's other side
        while chunk := os.read(mine, 65536):
            shown += chunk
    os.close(mine)
    stdout, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    text = shown.decode()
    assert re.search(r"epoch \d+/30 .*images/s.*left.*\d:\d\d", text)
    assert "epoch 30/30  loss" in text
    assert b"\x1b" not in stdout


def test_an_interruption_by_the_keyboard_has_the_exit_code_of_an_interruption(
    workspace, monkeypatch
):
    def interrupted(experiment, splits):
        raise KeyboardInterrupt

    monkeypatch.setattr("imgcls.verbs.prepare.prepare", interrupted)
    exit_code, _, stderr = command("prepare", write_experiment(workspace, TINY))
    assert exit_code == 75
    assert "run the same command again" in stderr


def test_a_bug_shows_its_traceback_and_says_that_it_is_one(workspace, monkeypatch):
    def broken(experiment, splits):
        raise RuntimeError("a bug")

    monkeypatch.setattr("imgcls.verbs.prepare.prepare", broken)
    exit_code, _, stderr = command("prepare", write_experiment(workspace, TINY))
    assert exit_code == 1
    assert "RuntimeError: a bug" in stderr
    assert "this is a bug in imgcls" in stderr


@pytest.mark.parametrize("arguments", [["--help"], ["parts"]])
def test_a_full_device_behind_stdout_ends_in_a_line_and_an_exit_code(arguments):
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "imgcls.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.returncode == 2
    assert process.stderr.startswith("imgcls: the device behind stdout is full")
    assert "Traceback" not in process.stderr
