"""From YAML files to an experiment: merging, overrides, and mistakes."""

import json

import pytest
import yaml
from experiments import TINY, experiment, write_experiment

from imgcls import parts
from imgcls.errors import UserError
from imgcls.experiment_file import read_experiment
from imgcls.experiment_schema import make_json_schema
from imgcls.io.yaml_file import ProblemsError
from imgcls.store.lookup import compute_split_key

MODELS = ", ".join(parts.list_names("models"))


def problems_of(path, *overrides):
    with pytest.raises(ProblemsError) as error:
        read_experiment(path, list(overrides))
    return error.value.problems


def test_a_resolved_experiment_reads_back_to_an_equal_one(tmp_path):
    experiment = read_experiment(write_experiment(tmp_path, TINY))
    again = tmp_path / "again.yaml"
    again.write_text(experiment.to_yaml())
    assert read_experiment(again) == experiment


@pytest.mark.parametrize("name", ["1e3", "12", "true", "null", "1.5", "no", "2026-01-01"])
def test_a_text_that_looks_like_a_number_reads_back_as_text(tmp_path, name):
    experiment = read_experiment(write_experiment(tmp_path, TINY), [f"name='{name}'"])
    again = tmp_path / "again.yaml"
    again.write_text(experiment.to_yaml())
    assert read_experiment(again).name == name


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "name: wrong\n"
        "data: {name: digits, validaton: 0.2}\n"
        "model: {name: cn}\n"
        "train:\n"
        "  epochs: ten\n"
        "  optimizer: {name: adamw, learning_rat: 1}\n"
        "  schedule: [cosine]\n"
        "  early_stopping: {monitor: val_los}\n"
        "augment: [{name: random_flip, probability: 2}]\n"
    )
    assert problems_of(path) == [
        (
            f"{path}:2:22: unknown key 'validaton' in data; allowed: name, store_dir, validation,"
            " test, fold, splits_file, split_seed, max_images, audit (did you mean 'validation'?)"
        ),
        (f"{path}:3:15: model: unknown name 'cn'; allowed: {MODELS} (did you mean 'cnn'?)"),
        f"{path}:5:11: train.epochs: must be a whole number; got 'ten'",
        (
            f"{path}:6:28: unknown key 'learning_rat' in train.optimizer; allowed: name,"
            " learning_rate, weight_decay, beta_1, beta_2, epsilon (did you mean 'learning_rate'?)"
        ),
        (
            f"{path}:7:13: train.schedule: needs a name, such as constant; allowed:"
            f" {', '.join(parts.list_names('schedules'))}; got ['cosine']"
        ),
        (
            f"{path}:8:29: train.early_stopping.monitor: must be 'val_loss' or"
            " 'val_accuracy'; got 'val_los' (did you mean 'val_loss'?)"
        ),
        f"{path}:9:44: augment.0.probability: must be 1 or less; got 2",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "train.epochs=true",
            "--set train.epochs=true: train.epochs: must be a whole number; got True",
        ),
        (
            "train.epochs='5'",
            "--set train.epochs='5': train.epochs: must be a whole number; got '5' (a number has"
            " no quotes)",
        ),
        (
            "train.epochs=-1",
            "train.epochs: must be 0 or more; got -1",
        ),
        (
            "train.epoch=3",
            "--set train.epoch=3: unknown key 'epoch' in train; the key is train.epochs, as in",
        ),
        ("train.epochs=[1", "--set train.epochs=[1:1:3: YAML syntax"),
        ("name=../up", "--set name=../up: name: "),
        (
            "evaluate.intervals=[accurcy]",
            "--set evaluate.intervals=[accurcy]: evaluate.intervals: unknown name 'accurcy'",
        ),
        (
            "augment.3.padding=1",
            "--set augment.3.padding=1: augment.0: needs a name, such as aug_mix",
        ),
        ("train.optimizer={name: sgd, learning_rate: .inf}", "must be a finite number"),
        ("evaluate.metrics=[{name: brier}, {name: brier}]", "lists brier more than once"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(tmp_path, override, message):
    assert message in problems_of(write_experiment(tmp_path, TINY), override)[0]


def test_precedence_is_defaults_then_parents_then_file_then_overrides(tmp_path):
    write_experiment(
        tmp_path, {**TINY, "seed": 1, "train": {"epochs": 5, "batch_size": 64}}, "base.yaml"
    )
    child = tmp_path / "child.yaml"
    child.write_text("extends: base.yaml\nname: child\ntrain: {batch_size: 32}\n")
    experiment = read_experiment(child, ["seed=7"])
    assert (
        experiment.name,
        experiment.seed,
        experiment.train.epochs,
        experiment.train.batch_size,
    ) == ("child", 7, 5, 32)
    assert experiment.train.select_weights == "best"


def test_naming_another_part_drops_the_settings_of_the_part_below(tmp_path):
    path = write_experiment(
        tmp_path, {**TINY, "train": {"optimizer": {"name": "adamw", "weight_decay": 0.5}}}
    )
    assert read_experiment(path, ["train.optimizer={name: sgd}"]).train.optimizer.momentum == 0.9
    assert (
        read_experiment(path, ["train.optimizer.learning_rate=0.5"]).train.optimizer.weight_decay
        == 0.5
    )


def test_an_override_reaches_into_a_list(tmp_path):
    path = write_experiment(
        tmp_path,
        {**TINY, "augment": [{"name": "random_flip"}, {"name": "random_crop", "padding": 1}]},
    )
    augment = read_experiment(path, ["augment.1.padding=3"]).augment
    assert [part.name for part in augment] == ["random_flip", "random_crop"]
    assert augment[1].padding == 3


def test_a_mistake_in_a_parent_names_the_parent(tmp_path):
    base = write_experiment(tmp_path, {**TINY, "seed": "one"}, "base.yaml")
    child = tmp_path / "child.yaml"
    child.write_text("extends: base.yaml\nname: child\n")
    assert problems_of(child)[0].startswith(f"{base}:")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.yaml": "extends: b.yaml\n", "b.yaml": "extends: a.yaml\n"}, "extends itself"),
        ({"a.yaml": "extends: missing.yaml\n"}, "which does not exist"),
        ({"a.yaml": "extends: .\n"}, "which is not a file"),
        ({"a.yaml": 'extends: "a\\0b"\n'}, "embedded null"),
        ({"a.yaml": f"extends: {'a' * 300}\n"}, "File name too long"),
        ({"a.yaml": "extends: [b.yaml]\n"}, "takes the path of one experiment file"),
        ({"a.yaml": "- 1\n"}, "an experiment maps keys to values"),
        ({"a.yaml": ""}, "data is missing"),
    ],
)
def test_a_file_that_cannot_be_merged_is_named(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert any(message in problem for problem in problems_of(tmp_path / "a.yaml"))


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_experiment(tmp_path / "none.yaml")


def test_store_dir_and_evaluation_do_not_change_the_identity(tmp_path):
    path = write_experiment(tmp_path, TINY)
    first = read_experiment(path)
    others = [
        "data.store_dir=elsewhere",
        "evaluate.bootstrap_samples=200",
        "train.device_cache_mib=0",
        "train.steps_per_execution=3",
        "train.gpu_memory=growth",
        "train.strategy={name: one_device, device: idle}",
    ]
    assert read_experiment(path, others).identity() == first.identity()
    for other in (
        "data.validation=0.2",
        "train.strategy={name: mirrored}",
        "train.loss={name: cross_entropy, label_smoothing: 0.1}",
    ):
        assert read_experiment(path, [other]).identity() != first.identity()


def test_a_seed_of_the_split_keeps_the_split_of_another_seed(tmp_path):
    path = write_experiment(tmp_path, TINY)
    first, other = read_experiment(path), read_experiment(path, ["seed=7"])
    shared = read_experiment(path, ["seed=7", "data.split_seed=0"])
    keys = [compute_split_key(each.data, each.split_seed) for each in (first, other, shared)]
    assert keys[0] == keys[2] != keys[1]
    assert shared.identity() != other.identity()
    assert read_experiment(path, ["data.split_seed=0"]).identity() == first.identity()


def test_the_schema_names_every_part():
    schema = json.dumps(make_json_schema())
    for name in ("fashion_mnist", "cosine", "mirrored", "confusion_matrix"):
        assert f'"{name}"' in schema


def test_the_schema_requires_no_other_key_if_a_file_extends_another():
    schema = make_json_schema()
    assert "required" not in schema
    assert schema["if"] == {"required": ["extends"]}
    assert schema["else"]["required"] == ["name", "data", "model"]
    assert "extends" in schema["properties"]


def test_every_config_opens_with_description_source_command_and_expected_result(configs):
    for path in configs:
        opening = path.read_text().splitlines()[:4]
        assert [line.split(":")[0] for line in opening] == [
            "# Trains",
            "# Source",
            "# Run",
            "# Expected",
        ], path


def test_every_config_is_valid(configs):
    assert len(configs) >= 2
    for path in configs:
        assert read_experiment(path).name == yaml.safe_load(path.read_text())["name"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["train.jit_compile=true"],
            (
                "the max pooling of model cnn do not work together: XLA has no deterministic max"
                " pooling; set"
            ),
        ),
        (
            [
                "train.jit_compile=true",
                "model.pooling=1",
                "model.batch_norm=true",
                "train.strategy={name: mirrored}",
            ],
            "the batch norm of model cnn do not work together: batch norm synchronizes the devices",
        ),
        (
            ["train.plateau={patience: 3}", "train.early_stopping={patience: 3}"],
            "training would stop before the learning rate is reduced",
        ),
    ],
)
def test_settings_that_do_not_work_together_are_rejected(tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        experiment(tmp_path, *overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.jit_compile=true", "model.pooling=1"],
        ["train.jit_compile=true", "train.deterministic=false", "model.batch_norm=true"],
        ["train.jit_compile=true", "train.deterministic=false", "train.strategy={name: mirrored}"],
        ["train.plateau={patience: 3}", "train.early_stopping={patience: 4}"],
        [
            "train.plateau={patience: 3}",
            "train.early_stopping={patience: 3, monitor: val_accuracy}",
        ],
    ],
)
def test_settings_that_work_together_are_accepted(tmp_path, overrides):
    assert experiment(tmp_path, *overrides) != experiment(tmp_path)


@pytest.mark.parametrize("key", ["²", "augment.².padding", ".".join("a" * 2000)])
def test_an_override_of_a_key_that_cannot_be_is_a_users_mistake(key, tmp_path):
    with pytest.raises(UserError, match="--set"):
        read_experiment(write_experiment(tmp_path, TINY), [f"{key}=1"])
