"""Short forms: names of parts, settings of a default part, and values that mean a section."""

import pytest
import yaml
from experiments import TINY, write_experiment

from imgcls.experiment_file import read_experiment
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


SHORT = {
    "augment: random_flip": "augment: [{name: random_flip}]",
    "figures: [roc]": "figures: [{name: roc}]",
    "figures: roc": "figures: [{name: roc}]",
    "data: {name: folder, path: x, size: 64}": "data: {name: folder, path: x, size: [64, 64]}",
    "data: {name: digits, validation: 15%, test: 7.5 %}": (
        "data: {name: digits, validation: 0.15, test: 0.075}"
    ),
    "data: {name: digits, audit: imbalance}": "data: {name: digits, audit: [{name: imbalance}]}",
    "model: {name: cnn, filters: 8, dense: 16}": "model: {name: cnn, filters: [8], dense: [16]}",
    "train: {early_stopping: 5}": "train: {early_stopping: {patience: 5}}",
    "train: {plateau: 5}": "train: {plateau: {patience: 5}}",
    "train: {ema: 0.99}": "train: {ema: {decay: 0.99}}",
    "train: {precise_batch_norm: 8}": "train: {precise_batch_norm: {batches: 8}}",
    "train: {select_weights: soup, soup: 3}": (
        "train: {select_weights: soup, soup: {checkpoints: 3}}"
    ),
    "train: {on_divergence: 2}": "train: {on_divergence: {retries: 2}}",
    "train: {sampling: class}": "train: {sampling: {by: class}}",
    "train: {progressive_resizing: 0.25}": "train: {progressive_resizing: {initial_scale: 0.25}}",
    "train: {learning_rate_scaling: 64}": "train: {learning_rate_scaling: {batch_size: 64}}",
    "train: {distillation: runs/a/1}": "train: {distillation: {teacher: runs/a/1}}",
    "train: {freeze: {depth: 0.5}}": "train: {freeze: [{depth: 0.5}]}",
    "evaluate: {metrics: accuracy, intervals: accuracy, tta: flip, confidence: 90%}": (
        "evaluate: {metrics: [{name: accuracy}], intervals: [accuracy], tta: [flip],"
        " confidence: 0.9}"
    ),
}


def read_section(folder, text):
    return read_experiment(write_experiment(folder, TINY | yaml.safe_load(text)))


@pytest.mark.parametrize(("short", "full"), SHORT.items())
def test_a_short_form_means_the_full_form_and_is_saved_as_it(tmp_path, short, full):
    experiment = read_section(tmp_path, short)
    assert experiment == read_section(tmp_path, full)
    saved = tmp_path / "saved.yaml"
    saved.write_text(experiment.to_yaml())
    (key,) = yaml.safe_load(full)
    assert yaml.safe_load(saved.read_text())[key] != yaml.safe_load(short)[key]
    assert read_experiment(saved) == experiment


def test_an_override_reaches_into_the_section_that_a_value_means(tmp_path):
    path = write_experiment(tmp_path, {**TINY, "train": {"early_stopping": 5}})
    train = read_experiment(path, ["train.early_stopping.monitor=val_accuracy"]).train
    assert (train.early_stopping.patience, train.early_stopping.monitor) == (5, "val_accuracy")
    assert read_experiment(path, ["train.early_stopping=7"]).train.early_stopping.patience == 7


def test_a_value_keeps_the_other_settings_of_the_section_below(tmp_path):
    stop = {"patience": 5, "monitor": "val_accuracy"}
    path = write_experiment(tmp_path, {**TINY, "train": {"early_stopping": stop}})
    train = read_experiment(path, ["train.early_stopping=7"]).train
    assert (train.early_stopping.patience, train.early_stopping.monitor) == (7, "val_accuracy")


def test_an_override_reaches_into_the_default_part(tmp_path):
    optimizer = read_experiment(
        write_experiment(tmp_path, {"name": "a", "data": {"name": "digits"}, "model": "cnn"}),
        ["train.optimizer.learning_rate=1e-4"],
    ).train.optimizer
    assert (optimizer.name, optimizer.learning_rate) == ("adamw", 1e-4)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("early_stopping: soon", "3:25: train.early_stopping.patience: must be a whole number"),
        ("ema: 2", "3:14: train.ema.decay: must be less than 1; got 2"),
        ("ema: true", "3:14: train.ema: must be a mapping of keys to values; got True"),
        ("sampling: cls", "3:19: train.sampling.by: must be 'class' or 'weight'; got 'cls'"),
    ],
)
def test_a_mistake_in_a_short_form_has_its_place(tmp_path, text, problem):
    path = tmp_path / "a.yaml"
    path.write_text(f"name: a\ndata: digits\ntrain: {{{text}}}\nmodel: cnn\n")
    with pytest.raises(ProblemsError) as raised:
        read_experiment(path)
    assert raised.value.problems[0].startswith(f"{path}:{problem}")
