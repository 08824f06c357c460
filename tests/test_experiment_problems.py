"""Messages about mistakes are sentences of ours, whatever pydantic says."""

import pytest
from experiments import command, write_experiment
from pydantic import ValidationError

from imgcls import experiment_problems, parts
from imgcls.io.yaml_file import Document
from imgcls.parts import Section
from imgcls.train_config import Train

WRONG = (
    *(None, True, 0, -1, 3, 2.5, -0.5, 10**40, float("inf"), float("nan"), "", "x", "5", "yes"),
    *([], [0], ["x"], [1, 2, 3], [[]], {}, {"x": 1}, {1: 2}, {"name": 3}),
)
OURS = ("value_error", "unknown_part", "part_without_name", "missing")
KINDS = {*experiment_problems.RULES, *experiment_problems.UNKNOWN, *OURS}
PYDANTIC = ("input should", "be a valid ", "extra inputs", "instance of", "field required")


def list_sections() -> list[type[Section]]:
    """Return the sections of experiments, and the settings of all parts."""
    for kind in parts.KINDS:
        for name in parts.list_names(kind):
            parts.load(kind, name)
    found, queue = [], [Section]
    while queue:
        below = queue.pop().__subclasses__()
        queue += below
        found += [each for each in below if each.__module__.startswith("imgcls.")]
    return sorted(set(found), key=name_section)


def name_section(section: type[Section]) -> str:
    return f"{section.__module__.removeprefix('imgcls.')}.{section.__name__}"


def find_problems(section: type[Section]) -> list:
    """Return the mistakes of a section with each of its fields wrong in each way."""
    problems = []
    names = [*section.model_fields, "unknown"]
    for content in [{name: value} for name in names for value in WRONG] + [3, "x", []]:
        try:
            section.model_validate(content)
        except ValidationError as error:
            problems += error.errors(include_url=False)
    return problems


@pytest.fixture(scope="module")
def problems():
    return {name_section(each): find_problems(each) for each in list_sections()}


def test_no_mistake_has_a_text_of_pydantic(problems):
    assert min(map(len, problems.values())) > 0
    for problem in [each for found in problems.values() for each in found]:
        text = experiment_problems.describe(problem)
        assert problem["type"] in KINDS, problem
        assert not [each for each in PYDANTIC if each in text.lower()], text


def test_every_rule_is_needed(problems):
    kinds = {problem["type"] for found in problems.values() for problem in found}
    assert set(experiment_problems.RULES) <= kinds


def test_a_rule_states_its_limit_and_what_was_received():
    with pytest.raises(ValidationError) as raised:
        Train.model_validate({"batch_size": 0, "ema": 1, "precision": "fp16"})
    found = [experiment_problems.explain(each, Document({})) for each in raised.value.errors()]
    assert [text for _, text in found] == [
        "batch_size: must be 1 or more; got 0",
        (
            "precision: must be 'float32', 'tensorfloat32', 'mixed_bfloat16', 'mixed_float16' or"
            " 'float64'; got 'fp16' (write mixed_float16)"
        ),
        "ema.decay: must be less than 1; got 1",
    ]


def test_the_command_ends_with_exit_code_2_and_all_mistakes(workspace):
    path = write_experiment(workspace, {"name": "a", "data": "digits", "model": "cnn", "lr": 1})
    exit_code, stdout, stderr = command("check", path, "--set", "train.epochs=x")
    assert (exit_code, stdout) == (2, "")
    assert stderr.splitlines() == [
        "imgcls: --set train.epochs=x: train.epochs: must be a whole number; got 'x'",
        (
            f"imgcls: {path}:4:1: unknown key 'lr'; the key is train.optimizer.learning_rate, as in"
            " train: {optimizer: {learning_rate: 0.001}}"
        ),
    ]
    assert list(workspace.iterdir()) == [path]
