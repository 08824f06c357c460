"""Durations are a number with a unit, and nothing else."""

from decimal import Decimal

import pytest
from experiments import experiment

from imgcls.config import Train
from imgcls.durations import Duration, parse_duration
from imgcls.errors import UserError
from imgcls.experiment_file import json_schema, read_experiment

WARMUP = "train.schedule={{name: cosine, warmup: {}}}"


@pytest.mark.parametrize(
    ("text", "number", "unit", "written"),
    [
        ("5%", "5", "%", "5%"),
        ("12.5%", "12.5", "%", "12.5%"),
        ("500 steps", "500", "steps", "500 steps"),
        ("1 step", "1", "steps", "1 step"),
        ("3epochs", "3", "epochs", "3 epochs"),
        ("1 epoch", "1", "epochs", "1 epoch"),
        ("30s", "30", "s", "30s"),
        ("55 m", "55", "m", "55m"),
        ("1.5h", "1.5", "h", "1.5h"),
        ("0.0000001s", "0.0000001", "s", "0.0000001s"),
    ],
)
def test_a_duration_is_read_and_written_with_its_unit(text, number, unit, written):
    duration = parse_duration(text)
    assert duration == Duration(Decimal(number), unit)
    assert str(duration) == written
    assert parse_duration(written) == duration


@pytest.mark.parametrize("percent", [0.7, 1, 3, 5, 7, 12.5, 20, 33.3, 99])
@pytest.mark.parametrize("steps", [1, 7, 21, 100, 500, 6431])
def test_a_percentage_of_steps_is_rounded_to_the_nearest(percent, steps):
    assert parse_duration(f"{percent}%").count_steps(steps, 1) == round(
        float(Decimal(str(percent)) / 100) * steps
    )


def test_steps_and_epochs_are_counted_in_steps():
    assert parse_duration("12 steps").count_steps(100, 10) == 12
    assert parse_duration("3 epochs").count_steps(100, 10) == 30
    assert [parse_duration(text).seconds for text in ("30s", "1.5m", "2h")] == [30, 90, 7200]


@pytest.mark.parametrize(
    ("text", "end"), [("50%", 20), ("34%", 20), ("33%", 10), ("2 epochs", 20), ("7 steps", 7)]
)
def test_the_end_of_a_percentage_is_that_of_a_whole_epoch(text, end):
    assert parse_duration(text).find_end(3, 10) == end


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (WARMUP.format("0.05"), "warmup: is 0.05, which is not a number with a unit; give a"),
        (WARMUP.format("5"), "warmup: is 5, which is not a number with a unit"),
        (WARMUP.format("0%"), "warmup: is '0%', which is not above 0"),
        (WARMUP.format("101%"), "warmup: is '101%', which is more than 100%"),
        (WARMUP.format("1.5 epochs"), "which is not a whole number of epochs"),
        (WARMUP.format("-3 steps"), "which is not a number with a unit"),
        (WARMUP.format("5m"), "has a unit that does not fit here; give a duration such as 5%, 500"),
        (WARMUP.format("[5%]"), "which is not a number with a unit"),
        (WARMUP.format("1e400%"), "which is not a number with a unit"),
        ("train.time_limit=55", "time_limit: is 55, which is not a number with a unit"),
        ("train.time_limit=5%", "give a duration such as 30s, 55m or 2h"),
        ("train.checkpoint=2 epochs", "give a duration such as 500 steps, 30s, 55m or 2h"),
        ("augment=[{name: random_flip, until: true}]", "until: is True, which is not a number"),
    ],
)
def test_anything_else_is_one_sentence_with_what_is_allowed(tmp_path, override, message):
    with pytest.raises(UserError) as caught:
        experiment(tmp_path, override)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_resolved_experiment_reads_back_to_the_same_durations(tmp_path):
    wanted = experiment(
        tmp_path,
        WARMUP.format("3 epochs"),
        "augment=[{name: random_flip, until: 90%}]",
        "train.time_limit=2h",
        "train.checkpoint=100 steps",
    )
    (tmp_path / "again.yaml").write_text(wanted.to_yaml())
    again = read_experiment(tmp_path / "again.yaml")
    assert again == wanted
    assert (str(again.train.time_limit), str(again.train.checkpoint)) == ("2h", "100 steps")
    assert str(again.train.schedule.warmup) == "3 epochs"


def test_the_schema_describes_a_duration_as_text_with_its_units():
    limit = json_schema()["$defs"]["Train"]["properties"]["time_limit"]
    (text,) = [choice for choice in limit["anyOf"] if choice["type"] == "string"]
    assert text["pattern"] == r"^\d+(\.\d+)? ?(s|m|h)$"


def test_the_schema_writes_the_default_as_an_experiment_file_does():
    assert json_schema()["$defs"]["Train"]["properties"]["checkpoint"]["default"] == "5m"


def test_a_duration_made_in_python_needs_a_unit_that_fits_too():
    with pytest.raises(ValueError, match="is '5%', which has a unit that does not fit here"):
        Train(time_limit=Duration(Decimal(5), "%"))
