"""The section `tune` of an experiment: every mistake is found before a trial, with its position."""

import re
from pathlib import Path

import pytest
import yaml
from experiments import TINY

from imgcls.experiment_file import read_experiment
from imgcls.experiment_schema import make_json_schema
from imgcls.io.yaml_file import ProblemsError
from imgcls.tuning.space import SearchSpace, make_space

HEAD = yaml.safe_dump(TINY, sort_keys=False)
LINES = len(HEAD.splitlines())


def read(folder: Path, search: str) -> SearchSpace:
    """Return the space of the tiny experiment with a section `tune`, given as lines of YAML."""
    path = folder / "experiment.yaml"
    path.write_text(HEAD + "tune:\n" + search)
    experiment = read_experiment(path)
    return make_space(experiment, experiment.tune)


def read_space(folder: Path, *lines: str, rest: str = "trials: 3") -> SearchSpace:
    """Return a space of which each line is a key."""
    return read(folder, "  space:\n" + "".join(f"    {line}\n" for line in lines) + f"  {rest}\n")


def propose(space: SearchSpace, **values) -> dict:
    """Return the proposals in which some keys have values, by the key's last word."""
    return space.choose(lambda parameter: values[parameter.key.rpartition(".")[2]])


WRONG = {
    "an unknown key": (
        "train.bach_size: [1, 2]",
        5,
        "unknown key 'bach_size' in train.*batch_size",
    ),
    "an unknown section": ("trian.epochs: [1, 2]", 5, "unknown key 'trian'.*did you mean 'train'"),
    "a key of another part": ("model.depth: [20, 32]", 5, "unknown key 'depth' in model"),
    "the data": ("data.validation: [0.1, 0.2]", 5, "cannot be searched: all trials use one"),
    "the seed": ("seed: [1, 2]", 5, "cannot be searched: the seed that happens"),
    "what does not matter": ("train.data_workers: [1, 2]", 5, "does not change the result"),
    "an empty range": ("train.batch_size: {low: 4, high: 4}", 38, "empty range: low is 4"),
    "low above high": ("train.batch_size: {low: 8, high: 4}", 38, "empty range.*high is 4"),
    "the log of zero": (
        "train.optimizer.learning_rate: {low: 0, high: 1, log: true}",
        59,
        "log: true, but low is 0",
    ),
    "one end": ("train.batch_size: {low: 4}", 29, "needs low and high"),
    "a range and choices": (
        "train.batch_size: {low: 4, high: 5, choices: [1, 2]}",
        50,
        "has choices and a range",
    ),
    "a step past the end": (
        "train.batch_size: {low: 4, high: 9, step: 2}",
        47,
        "does not reach high, 9",
    ),
    "a fraction of an image": (
        "train.batch_size: {low: 4, high: 6, step: 0.5}",
        47,
        "4.5 is not valid.*whole number",
    ),
    "log and a step": (
        "train.batch_size: {low: 4, high: 6, step: 1, log: true}",
        55,
        "log: true and a step",
    ),
    "one choice": ("train.batch_size: [4]", 23, "at least two"),
    "a choice twice": ("train.batch_size: [4, 4]", 27, "lists 4 twice"),
    "a choice that is not valid": ("train.batch_size: [4, big]", 27, "whole number; got 'big'"),
    "an unknown part": (
        "model: [{name: cnn}, {name: resnot}]",
        26,
        "unknown name 'resnot'.*did you mean 'resnet'",
    ),
    "a choice with an unknown key": (
        "model: [{name: cnn}, {name: cnn, width: 3}]",
        26,
        "unknown key 'width' in model",
    ),
    "an end that is not valid": ("model.dropout: {low: 0.1, high: 1.5}", 37, "1.5 is not valid"),
    "an unknown word in a range": (
        "model.dropout: {low: 0.1, hihg: 0.5}",
        31,
        "did you mean 'high'",
    ),
    "a condition on what is fixed": (
        "model.dropout: {low: 0.1, high: 0.5, when: {train.epochs: 2}}",
        49,
        "when names train.epochs, which is not searched",
    ),
    "text instead of a range": ("model.dropout: much", 20, "must be a mapping"),
}
"""A line of the space, the column of the mistake, and the message."""


@pytest.mark.parametrize(("line", "column", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_space_is_refused_with_file_line_and_column(tmp_path, line, column, message):
    with pytest.raises(ProblemsError) as caught:
        read_space(tmp_path, line)
    found = re.sub(r"\s+", " ", str(caught.value))
    assert found.startswith(f"{tmp_path / 'experiment.yaml'}:{LINES + 3}:{column}: ")
    assert re.search(f"tune.space.*{message}", found) or message in found, found


WRONG_REST = {
    "no end": ("sampler: random", "has no end; give trials"),
    "an unknown objective": (
        "{trials: 3, objective: {val_acuracy: maximize}}",
        "unknown name 'val_acuracy'; allowed: val_accuracy.*did you mean 'val_accuracy'",
    ),
    "a wrong direction": (
        "{trials: 3, objective: {val_loss: maximize}}",
        "val_loss is to maximize, but is better when lower; give minimize",
    ),
    "a limit on nothing": (
        "{trials: 3, limits: {size: {at_most: 3}}}",
        "tune.limits: unknown name 'size'",
    ),
    "a pruner with two objectives": (
        "{trials: 3, pruner: median, objective: {val_accuracy: maximize, parameters: minimize}}",
        "pruner: median with two objectives, val_accuracy, parameters",
    ),
    "a pruner of what is not logged": (
        "{trials: 3, pruner: asha, objective: {parameters: minimize}}",
        "needs an objective that is known after each epoch: val_accuracy or val_loss",
    ),
    "seeds and folds": ("{trials: 3, seeds: 2, folds: 2}", "seeds: 2 and folds: 2"),
    "three objectives": (
        "{trials: 3, objective: {val_loss: minimize, latency: minimize, seconds: minimize}}",
        "has 3 objectives; give one, or two for a Pareto front",
    ),
    "a grid of a range": ("sampler: grid", "range without steps.*grid"),
}


@pytest.mark.parametrize(("rest", "message"), WRONG_REST.values(), ids=WRONG_REST)
def test_a_wrong_search_is_refused(tmp_path, rest, message):
    search = yaml.safe_load(rest if rest.startswith("{") else f"{{{rest}}}")
    space = {"train.optimizer.learning_rate": {"low": 0.001, "high": 0.1}}
    text = yaml.safe_dump({"tune": {"space": space, **search}}, sort_keys=False)
    path = tmp_path / "experiment.yaml"
    path.write_text(HEAD + text)
    with pytest.raises(ProblemsError) as caught:
        read_experiment(path)
    assert re.match(rf"{path}:\d+:\d+: tune", str(caught.value))
    assert re.search(message, str(caught.value)), str(caught.value)


def test_the_schema_for_editors_knows_the_short_form():
    tune = make_json_schema()["$defs"]["Tune"]["properties"]
    forms = tune["space"]["additionalProperties"]["anyOf"]
    assert [form.get("type", "a section") for form in forms] == ["a section", "array"]
    assert forms[1]["minItems"] == 2
    assert tune["objective"]["maxProperties"] == 2


def test_all_mistakes_are_reported_at_once(tmp_path):
    with pytest.raises(ProblemsError) as caught:
        read_space(tmp_path, "train.bach_size: [1, 2]", "seed: [0, 1]", "name: [a, b]")
    assert len(caught.value.problems) == 2  # an unknown key is found once the others are right


def test_a_key_of_some_models_needs_a_condition(tmp_path):
    models = "model: [{name: cnn}, {name: resnet, depth: 20}]"
    with pytest.raises(ProblemsError, match=r"model.dropout: unknown key 'dropout'"):
        read_space(tmp_path, models, "model.dropout: {low: 0.1, high: 0.5}")
    space = read_space(
        tmp_path, models, "model.dropout: {low: 0.1, high: 0.5, when: {model.name: cnn}}"
    )
    cnn, resnet = space.parameters[0].labels
    assert propose(space, model=cnn, dropout=0.2) == {"model": cnn, "model.dropout": 0.2}
    assert propose(space, model=resnet) == {"model": resnet}


def test_a_condition_that_never_holds_is_refused(tmp_path):
    with pytest.raises(ProblemsError, match="never searched"):
        read_space(
            tmp_path,
            "train.batch_size: [32, 64]",
            "model.dropout: {low: 0.1, high: 0.5, when: {train.batch_size: 16}}",
        )


def test_conditions_in_a_circle_are_refused(tmp_path):
    with pytest.raises(ProblemsError, match="depend on each other"):
        read_space(
            tmp_path,
            "train.batch_size: {choices: [32, 64], when: {train.epochs: 2}}",
            "train.epochs: {choices: [2, 3], when: {train.batch_size: 32}}",
        )


@pytest.mark.parametrize(
    ("line", "is_whole"),
    [
        ("train.batch_size: {low: 4, high: 16}", True),
        ("model.dropout: {low: 0, high: 0.5}", False),
        ("train.optimizer.weight_decay: {low: 0, high: 1}", False),
        ("train.ema: [null, {decay: 0.9}]", False),
    ],
)
def test_the_key_decides_whether_a_range_has_whole_numbers_only(tmp_path, line, is_whole):
    (parameter,) = read_space(tmp_path, line).parameters
    assert parameter.is_whole == is_whole


def test_a_choice_is_merged_as_set_does_it(tmp_path):
    space = read_space(tmp_path, "model: [{name: cnn}, {name: resnet, depth: 20}]")
    cnn, resnet = space.parameters[0].labels
    assert space.apply({"model": cnn}).model.filters == [4]
    assert space.apply({"model": resnet}).model.depth == 20
    assert space.apply({"model": resnet}).tune is None


def test_the_files_own_values_are_found_in_the_space(tmp_path):
    space = read_space(
        tmp_path,
        "model: [{name: resnet, depth: 20}, {name: cnn}]",
        "train.batch_size: [128, 256]",
        "train.optimizer.learning_rate: {low: 1e-4, high: 1e-1, log: true}",
        "train.epochs: {low: 3, high: 5}",
        "augment: [[], [{name: random_flip}]]",
    )
    assert space.own == {
        "model": '{"name": "cnn"}',
        "train.batch_size": "256",
        "train.optimizer.learning_rate": 0.001,
        "augment": "[]",
    }


def test_a_grid_has_every_combination_once(tmp_path):
    space = read_space(
        tmp_path,
        "model: [{name: cnn}, {name: resnet, depth: 20}]",
        "model.dropout: {low: 0.1, high: 0.3, step: 0.1, when: {model.name: cnn}}",
        "train.epochs: {low: 1, high: 2}",
        rest="sampler: grid",
    )
    points = space.list_points()
    assert len(points) == (3 + 1) * 2
    assert len({tuple(point.items()) for point in points}) == len(points)
    assert sum("model.dropout" in point for point in points) == 6


def test_a_huge_grid_is_refused(tmp_path):
    with pytest.raises(ProblemsError, match="over 10,000 points"):
        read_space(
            tmp_path,
            "train.batch_size: {low: 1, high: 1000}",
            "train.epochs: {low: 1, high: 1000}",
            rest="sampler: grid",
        )
