"""Rehearsals where memory runs out, under a real limit on what TensorFlow may allocate."""

import json

import pytest
from experiments import json_of, write_experiment
from test_memory import CONTENT, run_limited, side_by_side


@pytest.mark.full
def test_each_rehearsal_goes_on_with_smaller_micro_batches_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_experiment(tmp_path, CONTENT)
    json_of("prepare", path)
    kinds = {
        "find_learning_rate": ["--find-learning-rate"],
        "overfit": ["--overfit", "1100"],
        "dry_run": ["--dry-run"],
    }
    results = side_by_side(
        {name: (100, "train", path, *options, "--json") for name, options in kinds.items()}
    )
    for name, (exit_code, stdout, stderr) in results.items():
        assert exit_code == 0, stderr
        assert json.loads(stdout)["accumulation_steps"] > 1, name
        assert "out of memory" in stderr
        assert "with micro-batches of " in stderr


@pytest.mark.full
def test_one_image_that_does_not_fit_ends_with_exit_code_5(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_experiment(tmp_path, CONTENT)
    json_of("prepare", path)
    changes = ["model.filters=[100000]", "model.pooling=8", "model.dense=[]", "train.batch_size=2"]
    options = [word for each in changes for word in ("--set", each)]
    exit_code, _, stderr = run_limited(40, "train", path, "--find-learning-rate", *options)
    assert exit_code == 5, stderr
    assert "out of memory" in stderr
    assert not list((tmp_path / "runs").glob("*/*"))
