"""The script that trains the experiments of configs/, and compares them with recorded results."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from experiments import json_of, wait_for_a_step_inside_an_epoch

from imgcls.experiment_file import read_experiment
from imgcls.io.records import to_json
from imgcls.run import Run
from imgcls.training import checkpoint_file

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
HOUR = 3600
MACHINES = {
    "cifar10_fast": "one GPU",
    "cifar10_resnet20": "one GPU",
    "imagenet_resnet50": "eight GPUs",
    "imagenet_resnet50_a3": "eight GPUs",
    "transfer_folder": "one GPU",
}
"""What the recipes are for that are not measured yet, for want of it."""


@pytest.fixture
def recipes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import recipes

    return recipes


def make_result(recipes, accuracies):
    return recipes.RecipeResult(
        seeds=list(range(len(accuracies))),
        test_accuracy=accuracies,
        val_accuracy=accuracies,
        mean=float(numpy.mean(accuracies)),
        std=float(numpy.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        seconds=[61.2] * len(accuracies),
        parameters=1000,
        processor="2 cores of a Test CPU",
        versions={"keras": "3.15.1"},
        commit="abc",
        date="2026-11-27T00:00:00+00:00",
        command="imgcls train configs/digits.yaml --seeds 0,1",
    )


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_header_of_a_recipe_says_what_was_measured(recipes, config):
    result = recipes.read_result(config)
    expected = recipes.NOT_MEASURED if result is None else recipes.format_expected(result)
    assert f"\n{recipes.EXPECTED}{expected}" in config.read_text()


@pytest.mark.parametrize(("name", "machine"), MACHINES.items())
def test_a_recipe_that_is_not_measured_names_the_machine_that_it_is_for(recipes, name, machine):
    config = ROOT / "configs" / f"{name}.yaml"
    if recipes.read_result(config):
        pytest.skip("measured")
    assert f"written for a machine with {machine}" in config.read_text()
    strategy = read_experiment(config).train.strategy
    assert strategy.spans_devices == (machine != "one GPU")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_recorded_mean_and_std_are_those_of_the_recorded_runs(recipes, config):
    result = recipes.read_result(config)
    if result is None:
        pytest.skip("not measured yet")
    assert result.mean == pytest.approx(numpy.mean(result.test_accuracy))
    assert len(result.seeds) == len(result.test_accuracy) == len(result.seconds)
    if len(result.seeds) > 1:
        assert result.std == pytest.approx(numpy.std(result.test_accuracy, ddof=1))


@pytest.mark.parametrize(
    ("mean", "passed"), [(0.9, True), (0.926, True), (0.874, True), (0.931, False), (0.869, False)]
)
def test_a_mean_may_differ_by_three_standard_deviations(recipes, mean, passed):
    recorded = make_result(recipes, [0.89, 0.9, 0.91])  # mean 0.9, std 0.01
    assert recipes.is_within_tolerance(mean, recorded) == passed


def test_without_a_spread_the_mean_must_be_the_same(recipes):
    recorded = make_result(recipes, [0.9])
    assert recipes.is_within_tolerance(0.9, recorded)
    assert not recipes.is_within_tolerance(0.9001, recorded)


def test_the_header_is_replaced_and_the_rest_stays(recipes):
    text = "# Trains: x\n# Expected: not yet measured, for a reason.\nname: x # Expected: y\n"
    changed = recipes.insert_expected(text, "test accuracy 0.9.")
    assert changed == "# Trains: x\n# Expected: test accuracy 0.9.\nname: x # Expected: y\n"


def write_digits(folder, epochs):
    """Write the recipe for digits, with another number of epochs."""
    (folder / "configs").mkdir()
    config = folder / "configs" / "digits.yaml"
    text = (ROOT / "configs" / "digits.yaml").read_text()
    config.write_text(text.replace("epochs: 60", epochs))
    return config


@pytest.mark.full
def test_a_recipe_is_recorded_checked_and_fails_when_it_gets_worse(
    recipes, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(recipes, "CONFIGS", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    config = write_digits(tmp_path, "epochs: 2")
    shutil.copy(config, tmp_path / "configs" / "unmeasured.yaml")
    assert recipes.main(["record", "digits", "--seeds", "2"]) == 0
    result = recipes.read_result(config)
    assert f"test accuracy {result.mean:.4f} ± {result.std:.4f} (n = 2)" in config.read_text()
    assert recipes.main(["check"]) == 0
    assert recipes.main(["check", "--long"]) == 0  # which does not take two seconds
    worse = result.model_copy(update={"mean": result.mean + 3.1 * result.std})
    config.with_suffix(".json").write_text(to_json(worse))
    assert recipes.main(["check"]) == 6
    output = capsys.readouterr()
    assert "FAILED" in output.out
    assert "unmeasured: not yet measured" in output.err
    assert json.loads(config.with_suffix(".json").read_text())["seeds"] == [0, 1]


def add_an_hour(run):
    """Change the newest checkpoint as if the epoch so far had taken an hour longer."""
    path = run.state_files()[0]
    header, arrays = checkpoint_file.read(path)
    header.counters.stages["steps"] += HOUR
    snapshot = checkpoint_file.Snapshot(header.paths, list(arrays.values()))
    checkpoint_file.write(path, snapshot, header.counters)


@pytest.mark.full
def test_an_interrupted_recording_continues_with_its_runs_and_their_times(workspace):
    """SIGTERM goes to the script alone, in the middle of an epoch of the second run."""
    config = write_digits(workspace, "epochs: 6\n  checkpoint: 5 steps")
    (workspace / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts" / "recipes.py", workspace / "scripts")
    runs = [Run(workspace / "runs" / "digits" / "family-1" / f"seed-{seed}") for seed in (0, 1)]
    command = [sys.executable, script, "record", "digits", "--seeds", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    wait_for_a_step_inside_an_epoch(process, runs[1].folder)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert [run.status.status for run in runs] == ["finished", "interrupted"]
    first_log = runs[0].log
    add_an_hour(runs[1])
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    elapsed = time.monotonic() - start
    assert [path.name for path in (workspace / "runs" / "digits").iterdir()] == ["family-1"]
    assert runs[0].log == first_log
    recorded = json.loads(config.with_suffix(".json").read_text())["seconds"]
    assert recorded == [round(sum(epoch.seconds for epoch in run.log), 1) for run in runs]
    assert HOUR < recorded[1] < sum(recorded) < HOUR + elapsed


@pytest.mark.full
def test_runs_that_are_trained_but_not_evaluated_are_not_trained_again(
    recipes, monkeypatch, workspace
):
    monkeypatch.setattr(recipes, "CONFIGS", workspace / "configs")
    config = write_digits(workspace, "epochs: 1")
    json_of("prepare", config)
    json_of("train", config, "--seeds", "0,1")  # and then, the evaluation was interrupted
    assert recipes.main(["record", "digits", "--seeds", "2"]) == 0
    families = workspace / "runs" / "digits"
    assert [path.name for path in families.iterdir()] == ["family-1"]
    assert recipes.main(["check"]) == 0  # which trains again
    assert sorted(path.name for path in families.iterdir()) == ["family-1", "family-2"]
