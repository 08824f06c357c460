"""Short forms of parts: a name alone, and settings without the name of the default part."""

import pytest
from experiments import TINY, write_experiment

from imgcls.experiment_file import make_json_schema, read_experiment
from imgcls.io.yaml_file import ProblemsError


def test_a_part_may_be_given_by_its_name_alone(tmp_path):
    short = {**TINY, "augment": ["random_flip"], "train": {"optimizer": "sgd"}}
    long = {**TINY, "augment": [{"name": "random_flip"}], "train": {"optimizer": {"name": "sgd"}}}
    expected = read_experiment(write_experiment(tmp_path, long))
    assert read_experiment(write_experiment(tmp_path, short)) == expected


@pytest.mark.parametrize(
    ("base", "overrides", "expected"),
    [
        ({}, ["device=1"], {"name": "one_device", "device": 1}),
        ({"device": 1}, ["device=2"], {"name": "one_device", "device": 2}),
        ({"device": 1}, ["name=one_device"], {"name": "one_device", "device": 1}),
        ({"name": "one_device", "device": 1}, [], {"name": "one_device", "device": 1}),
        ("mirrored", ["replicas=2"], {"name": "mirrored", "replicas": 2}),
        ({"device": 1}, ["name=mirrored"], {"name": "mirrored", "replicas": None}),
    ],
)
def test_a_part_without_a_name_is_the_one_below_or_the_default(tmp_path, base, overrides, expected):
    path = write_experiment(tmp_path, {**TINY, "train": {"strategy": base}})
    experiment = read_experiment(path, [f"train.strategy.{each}" for each in overrides])
    assert experiment.train.strategy.model_dump() == expected


def test_a_name_alone_keeps_the_settings_of_the_same_part_and_drops_those_of_another(tmp_path):
    optimizer = {"name": "adamw", "weight_decay": 0.5}
    path = write_experiment(tmp_path, {**TINY, "train": {"optimizer": optimizer}})
    assert read_experiment(path, ["train.optimizer=adamw"]).train.optimizer.weight_decay == 0.5
    assert read_experiment(path, ["train.optimizer=sgd"]).train.optimizer.name == "sgd"


def test_a_mistake_in_a_part_without_a_name_lists_the_keys_of_the_default(tmp_path):
    path = write_experiment(tmp_path, TINY)
    with pytest.raises(ProblemsError) as raised:
        read_experiment(path, ["train.strategy.devise=1"])
    assert raised.value.problems == [
        "--set train.strategy.devise=1: unknown key 'devise' in train.strategy; allowed: name,"
        " device (did you mean 'device'?)"
    ]


def test_an_override_reaches_into_a_part_of_a_list_that_is_a_name_alone(tmp_path):
    path = write_experiment(tmp_path, {**TINY, "augment": ["random_crop", "random_flip"]})
    augment = read_experiment(path, ["augment.0.padding=3"]).augment
    assert [part.name for part in augment] == ["random_crop", "random_flip"]
    assert augment[0].padding == 3


def test_the_schema_takes_short_forms_of_parts():
    properties = make_json_schema()["$defs"]["Train"]["properties"]
    names, *choices = properties["strategy"]["oneOf"]
    assert names == {"enum": ["mirrored", "multi_worker", "one_device"]}
    required = {
        choice["properties"]["name"]["const"]: choice.get("required", []) for choice in choices
    }
    assert required == {"mirrored": ["name"], "multi_worker": ["name"], "one_device": []}


@pytest.mark.parametrize(
    ("companion", "expected"),
    [
        (None, ("sgd", 0.03)),
        ({}, ("sgd", 0.03)),
        ({"momentum": 0.5}, ("sgd", 0.03)),
        ("adamw", ("adamw", 0.005)),
        ({"name": "adamw", "learning_rate": 0.5}, ("adamw", 0.5)),
    ],
)
def test_a_part_inside_a_part_has_defaults_of_its_own(tmp_path, companion, expected):
    muon = {"name": "muon"} | ({} if companion is None else {"companion": companion})
    path = write_experiment(tmp_path, {**TINY, "train": {"optimizer": muon}})
    experiment = read_experiment(path)
    found = experiment.train.optimizer.companion
    assert (found.name, found.learning_rate) == expected
    path.write_text(experiment.to_yaml())
    assert read_experiment(path) == experiment


@pytest.mark.parametrize("base", ["adamw", {"name": "adamw"}, {"name": "adamw", "beta_1": 0.8}])
def test_an_override_reaches_into_a_part_inside_a_part(tmp_path, base):
    content = {**TINY, "train": {"optimizer": {"name": "muon", "companion": base}}}
    path = write_experiment(tmp_path, content)
    key = "train.optimizer.companion"
    companion = read_experiment(path, [f"{key}.learning_rate=0.5"]).train.optimizer.companion
    assert (companion.name, companion.learning_rate) == ("adamw", 0.5)
    assert companion.beta_1 == (0.8 if "beta_1" in base else 0.9)
    assert read_experiment(path, [f"{key}=sgd"]).train.optimizer.companion.name == "sgd"


def test_a_part_inside_a_part_is_one_of_those_that_it_allows(tmp_path):
    content = {**TINY, "train": {"optimizer": {"name": "muon", "companion": "muon"}}}
    with pytest.raises(ProblemsError) as raised:
        read_experiment(write_experiment(tmp_path, content))
    assert "unknown name 'muon'; allowed: adamw, sgd" in raised.value.problems[0]
    names = make_json_schema()["$defs"]["Train"]["properties"]["optimizer"]["oneOf"]
    muon = next(each for each in names[1:] if each["properties"]["name"]["const"] == "muon")
    assert muon["properties"]["companion"]["oneOf"][0] == {"enum": ["adamw", "sgd"]}
