"""The JSON Schema: an editor accepts what imgcls does, and marks the mistake itself."""

import json

import pytest
import yaml
from json_schema import find_problems
from source_code import ROOT
from test_short_forms import SHORT

from imgcls.experiment_file import read_experiment
from imgcls.experiment_schema import make_json_schema

SCHEMA = make_json_schema()
VALID = {"name": "a", "data": {"name": "digits"}, "model": {"name": "cnn"}}


def find_mistakes(text: str, valid: dict = VALID) -> list[tuple[str, str]]:
    content = valid | yaml.safe_load(text)
    found = find_problems(content, SCHEMA, SCHEMA)
    return [(".".join(map(str, place)), keyword) for place, keyword in found]


@pytest.mark.parametrize("text", [*SHORT, *SHORT.values()])
def test_short_and_full_forms_are_accepted(text):
    assert find_mistakes(text) == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name
)
def test_recipes_and_their_resolved_forms_are_accepted(path):
    assert find_mistakes(path.read_text(), {}) == []
    assert find_mistakes(read_experiment(path).to_yaml()) == []


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("train: {optimizer: {name: sgd, learning_rat: 1}}", {"train.optimizer.learning_rat"}),
        ("train: {optimizer: {learning_rat: 1}}", {"train.optimizer.learning_rat"}),
        ("train: {optimizer: {name: sgd, momentum: 2}}", {"train.optimizer.momentum"}),
        ("train: {optimizer: sdg}", {"train.optimizer"}),
        ("train: {optimizer: {name: sdg, learning_rate: 1}}", {"train.optimizer.name"}),
        ("train: {optimizer: {name: muon, companion: {name: muon}}}",
         {"train.optimizer.companion.name"}),
        ("train: {optimizer: {name: muon, companion: {beta: 1}}}",
         {"train.optimizer.companion.beta"}),
        ("train: {early_stopping: {patience: soon}}", {"train.early_stopping.patience"}),
        ("train: {early_stopping: soon}", {"train.early_stopping"}),
        ("train: {ema: 2}", {"train.ema"}),
        ("train: {ema: [1]}", {"train.ema"}),
        ("model: {name: cnn, depth: 20}", {"model.depth"}),
        ("augment: [random_flip, {name: random_crop, pading: 1}]", {"augment.1.pading"}),
        ("augment: randomflip", {"augment"}),
        ("data: {name: folder, path: x, size: 0}", {"data.size"}),
        ("data: {name: digits, validation: 1.5, test: 20}", {"data.validation", "data.test"}),
    ],
)  # fmt: skip
def test_a_mistake_is_marked_where_it_is(text, mistakes):
    assert {place for place, _ in find_mistakes(text)} == mistakes


def test_a_key_is_required_only_in_a_file_that_extends_no_other():
    assert find_mistakes("model: {filters: [8]}") == [("model", "required")]
    assert find_mistakes("data: {name: folder}") == [("data", "required")]
    assert find_mistakes("{extends: a.yaml, model: {filters: [8]}, data: {size: 8}}", {}) == []
    assert ("", "required") in find_mistakes("{}", {})


def test_every_part_has_a_rule_of_its_own():
    text = json.dumps(SCHEMA)
    assert '"oneOf"' not in text
    for name in ("fashion_mnist", "cosine", "mirrored", "confusion_matrix", "random_affine"):
        assert f'{{"name": {{"const": "{name}"}}}}' in text
