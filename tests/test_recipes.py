"""The script that trains the experiments of configs/, and compares them with recorded results."""

import json
import shutil
from pathlib import Path

import numpy
import pytest

from imgcls.io.records import to_json

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


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


@pytest.mark.full
def test_a_recipe_is_recorded_checked_and_fails_when_it_gets_worse(
    recipes, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(recipes, "CONFIGS", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    config = tmp_path / "configs" / "digits.yaml"
    text = (ROOT / "configs" / "digits.yaml").read_text().replace("epochs: 60", "epochs: 2")
    config.write_text(text)
    shutil.copy(config, tmp_path / "configs" / "unmeasured.yaml")
    assert recipes.main(["record", "digits", "--seeds", "2"]) == 0
    result = recipes.read_result(config)
    assert f"test accuracy {result.mean:.4f} ± {result.std:.4f} (n = 2)" in config.read_text()
    assert recipes.main(["check"]) == 0
    assert recipes.main(["check", "--long"]) == 0  # which does not take two seconds
    worse = result.model_copy(update={"mean": result.mean + 3.1 * result.std})
    config.with_suffix(".json").write_text(to_json(worse))
    assert recipes.main(["check"]) == recipes.GATE_FAILED
    output = capsys.readouterr()
    assert "FAILED" in output.out
    assert "unmeasured: not yet measured" in output.err
    assert json.loads(config.with_suffix(".json").read_text())["seeds"] == [0, 1]
