"""Completion in a shell offers what a command accepts, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from imgcls import completion, parts
from imgcls.experiment_file import read_experiment
from imgcls.run import Run

VALUES = dict.fromkeys(
    [f"train.optimizer.{each}=" for each in ("learning_rate", "weight_decay", "beta_1", "beta_2")],
    0.5,
) | {"train.optimizer.name=": "adamw", "train.optimizer.epsilon=": 1e-3}
RUN_MAIN = "import sys; sys.argv[0] = 'imgcls'; from imgcls.cli.main import main; main()"


@pytest.fixture
def runs(digits):
    """Finished and unfinished runs, and files that are experiments or not."""
    for number, status in enumerate(["finished", "interrupted", "finished"], 1):
        folder = Path(f"runs/tiny/{number}")
        folder.mkdir(parents=True)
        Run(folder).config_file.write_text(digits().to_yaml())
        Run(folder).write_status(status)
    Path("runs/tiny/3/status.json").write_text("damaged")
    Path("notes.txt").write_text("")
    Path("other.yml").write_text("")


def test_an_experiment_is_a_yaml_file_or_a_folder_with_some(runs):
    assert completion.complete_experiment("") == ["experiment.yaml", "other.yml", "runs/"]
    assert completion.complete_experiment("ex") == ["experiment.yaml"]
    assert completion.complete_experiment("nowhere/") == []


def test_only_finished_and_intact_runs_are_offered(runs):
    assert completion.complete_run("runs/") == ["runs/tiny/1"]
    assert completion.complete_target("runs/tiny/") == [
        *["runs/tiny/1", "runs/tiny/1/", "runs/tiny/2/", "runs/tiny/3/"]
    ]


def test_each_offered_setting_is_a_key_of_an_experiment(digits):
    assert "train.optimizer.learning_rate=" in completion.complete_setting("train.opt")
    assert digits()
    for key in completion.complete_setting("train.optimizer."):
        assert read_experiment(Path("experiment.yaml"), [f"{key}{VALUES[key]}"])


def test_names_of_parts_are_offered():
    assert completion.complete_figure("ro") == ["roc"]
    assert completion.complete_kind_or_part("random_a") == ["random_affine"]
    assert completion.complete_kind_or_part("data") == ["datasets"]
    assert completion.complete_split("v") == ["validation"]
    assert completion.complete_format("") == parts.list_names("exporters")
    assert completion.complete_method("pr") == ["prune"]


def test_the_shell_gets_what_the_command_accepts(runs):
    assert read_experiment(Path("experiment.yaml"))
    found = subprocess.run(
        [sys.executable, "-c", RUN_MAIN],
        env={
            "PATH": "",
            "PYTHONPATH": str(Path(completion.__file__).parent.parent),
            "_IMGCLS_COMPLETE": "complete_bash",
            "COMP_WORDS": "imgcls plot runs/tiny/1 ro",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.split() == ["roc"], found.stderr
