"""Mistakes that follow from several keys of an experiment together."""

import pytest
from experiments import TINY, write_experiment

from imgcls.experiment_file import read_experiment
from imgcls.io.yaml_file import ProblemsError


def find_problems(path, *overrides):
    with pytest.raises(ProblemsError) as error:
        read_experiment(path, list(overrides))
    return error.value.problems


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["train.budget=10m", "train.time_limit=5m", "train.epochs=3"],
            "--set train.epochs=3: train: epochs is 3, but budget is 10m",
        ),
        (
            ["train.budget=10m", "train.time_limit=5m"],
            "--set train.budget=10m: train: epochs is 1, but budget is 10m",
        ),
        (
            ["train.schedule={name: cosine, warmup: 30 epochs}", "train.time_limit=5m"],
            "--set train.schedule={name: cosine, warmup: 30 epochs}: train.schedule.warmup is 30",
        ),
    ],
)
def test_keys_that_contradict_each_other_are_blamed_on_one_of_their_overrides(
    tmp_path, overrides, message
):
    path = write_experiment(tmp_path, {**TINY, "train": {"epochs": 1}})
    (problem,) = find_problems(path, *overrides)
    assert problem.startswith(message)


def test_keys_of_the_file_that_contradict_each_other_are_blamed_on_the_last(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "name: wrong\n"
        "data: digits\n"
        "model: cnn\n"
        "train:\n"
        "  budget: 10m\n"
        "  epochs: 3\n"
        "  batch_size: 8\n"
    )
    assert find_problems(path)[0].startswith(f"{path}:6:11: train: epochs is 3, but budget is 10m")
