"""Durations are a number with a unit, and nothing else."""

import re
from decimal import Decimal
from typing import Annotated

import pytest
from experiments import experiment
from pydantic import ValidationError

from imgcls.durations import Duration, DurationIn, parse_duration
from imgcls.errors import UserError
from imgcls.experiment_file import read_experiment
from imgcls.experiment_schema import make_json_schema
from imgcls.parts import Section
from imgcls.train_config import Train

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
        ("005.0%", "5", "%", "5%"),
        ("100%", "100", "%", "100%"),
        ("1.0 steps", "1", "steps", "1 step"),
        ("1000000 steps", "1000000", "steps", "1000000 steps"),
    ],
)
def test_a_duration_is_read_and_written_with_its_unit(text, number, unit, written):
    duration = parse_duration(text)
    assert duration == Duration(Decimal(number), unit)
    assert str(duration) == written
    assert parse_duration(written) == duration


@pytest.mark.parametrize(
    ("text", "fraction"),
    [
        ("0.7%", 0.007),
        ("5%", 0.05),
        ("7%", 0.07),
        ("12.5%", 0.125),
        ("29%", 0.29),
        ("57%", 0.57),
        ("100%", 1.0),
    ],
)
def test_a_percentage_of_steps_is_rounded_as_its_fraction_is_in_python(text, fraction):
    duration = parse_duration(text)
    for steps in range(3000):
        assert duration.count_steps(steps, 1) == round(fraction * steps)


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
        (
            WARMUP.format("0.05"),
            "train.schedule.warmup: is 0.05, which has no unit; give a duration such as 5%, 500"
            " steps or 3 epochs",
        ),
        (WARMUP.format("5"), "warmup: is 5, which has no unit"),
        (WARMUP.format("'5'"), "warmup: is '5', which has no unit"),
        (WARMUP.format("0"), "warmup: is 0, which has no unit"),
        (WARMUP.format("''"), "warmup: is '', which is not a number with a unit"),
        (WARMUP.format("true"), "warmup: is True, which is not a number with a unit"),
        (WARMUP.format("5 percent"), "warmup: is '5 percent', which is not a number with a unit"),
        (WARMUP.format("5%5"), "warmup: is '5%5', which is not a number with a unit"),
        (WARMUP.format("\u0665%"), "warmup: is '\u0665%', which is not a number with a unit"),
        (WARMUP.format("3  epochs"), "is '3  epochs', which is not a number with a unit"),
        (WARMUP.format("0%"), "warmup: is '0%', which is not above 0"),
        (WARMUP.format("0 epochs"), "warmup: is '0 epochs', which is not above 0"),
        (WARMUP.format("-3 steps"), "warmup: is '-3 steps', which is not above 0"),
        (WARMUP.format("100.1%"), "warmup: is '100.1%', which is more than 100%"),
        (WARMUP.format("1.5 epochs"), "which is not a whole number of epochs"),
        (WARMUP.format("1.5 steps"), "which is not a whole number of steps"),
        (WARMUP.format("3 epochs"), "warmup is 3 epochs, but train.epochs is 2; give at most that"),
        (WARMUP.format("5m"), "has a unit that is not allowed here; give a duration such as 5%, 5"),
        (WARMUP.format("[5%]"), "which is not a number with a unit"),
        (WARMUP.format("1e400%"), "is '1e400%', which is not a number with a unit"),
        (WARMUP.format("1e400"), "warmup: is inf, which is not a number with a unit"),
        (WARMUP.format(".nan"), "warmup: is nan, which is not a number with a unit"),
        (
            "train.time_limit=55",
            "time_limit: is 55, which has no unit; give a duration such as 30s",
        ),
        ("train.time_limit=5%", "give a duration such as 30s, 55m or 2h"),
        ("train.time_limit=5 steps", "give a duration such as 30s, 55m or 2h"),
        ("train.time_limit=0s", "time_limit: is '0s', which is not above 0"),
        ("train.checkpoint=5%", "give a duration such as 500 steps, 30s, 55m or 2h"),
        ("train.checkpoint=2 epochs", "give a duration such as 500 steps, 30s, 55m or 2h"),
        ("train.checkpoint={steps: 5}", "is {'steps': 5}, which is not a number with a unit"),
        ("augment=[{name: random_flip, until: 2h}]", "such as 5%, 3 epochs or 500 steps"),
        (
            "augment=[{name: random_flip, until: 3 epochs}]",
            "augment.0.until is 3 epochs, but train",
        ),
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
        "train.epochs=3",
        "augment=[{name: random_flip, until: 90%}]",
        "train.time_limit=2h",
        "train.checkpoint=100 steps",
    )
    (tmp_path / "again.yaml").write_text(wanted.to_yaml())
    again = read_experiment(tmp_path / "again.yaml")
    assert again == wanted
    assert (str(again.train.time_limit), str(again.train.checkpoint)) == ("2h", "100 steps")
    assert str(again.train.schedule.warmup) == "3 epochs"
    assert str(again.augment[0].until) == "90%"


@pytest.mark.parametrize(
    "override", ["train.checkpoint=null", "train.time_limit=null", WARMUP.format("null")]
)
def test_off_is_null_and_stays_so(tmp_path, override):
    wanted = experiment(tmp_path, override)
    (tmp_path / "again.yaml").write_text(wanted.to_yaml())
    again = read_experiment(tmp_path / "again.yaml")
    section, key = (
        (again.train.schedule, "warmup")
        if "warmup" in override
        else (again.train, override.removeprefix("train.").removesuffix("=null"))
    )
    assert getattr(section, key) is None


def test_the_state_is_saved_every_five_minutes_unless_the_experiment_says_otherwise(tmp_path):
    assert experiment(tmp_path).train.checkpoint == parse_duration("5m")


def test_two_ways_to_write_a_duration_are_one_training(tmp_path):
    one, other = (experiment(tmp_path, WARMUP.format(text)) for text in ("5%", "5.0 %"))
    assert one.identity() == other.identity()


def test_a_run_may_be_continued_with_another_checkpoint_and_time_limit_but_not_warmup(tmp_path):
    plain = experiment(tmp_path, WARMUP.format("5%")).identity()
    overrides = (WARMUP.format("5%"), "train.checkpoint=7 steps", "train.time_limit=1h")
    assert experiment(tmp_path, *overrides).identity() == plain
    assert experiment(tmp_path, WARMUP.format("6%")).identity() != plain


def test_the_schema_describes_a_duration_as_text_with_its_units():
    limit = make_json_schema()["$defs"]["Train"]["properties"]["time_limit"]
    (text,) = [choice for choice in limit["anyOf"] if choice["type"] == "string"]
    assert text["examples"] == ["30s", "55m", "2h"]
    assert "such as 55m" in limit["description"]


NUMBERS = (
    "0 0.0 00 0.01 1 1.0 1.5 007 10.10 -1 +1 1. .5 1e3 1_0 1,5 \u0665 nan 99.999 100 100.000"
    " 0100 100.01 100.0000000000001 101 1000 999999999999 9999999999999 000000000001"
    " 000000000100 0000000000100 0000000000001 0.000000000001 0.0000000000001"
)
UNITS = "% step steps epoch epochs s m h d H %% stepss"
DURATIONS = [
    f"{number}{space}{unit}"
    for number in ["", *NUMBERS.split()]
    for space in ("", " ", "  ")
    for unit in ["", *UNITS.split()]
]
"""Numbers at the edges of what is allowed and beyond, with every unit and others."""


@pytest.mark.parametrize("units", [("%", "steps", "epochs"), ("s", "m", "h"), ("steps", "s", "m")])
def test_the_schema_takes_exactly_the_durations_that_the_reader_takes(units):
    class Holder(Section):
        duration: Annotated[Duration, DurationIn(*units)]

    def is_read(text: str) -> bool:
        try:
            return bool(Holder(duration=text))
        except ValidationError:
            return False

    pattern = re.compile(Holder.model_json_schema()["properties"]["duration"]["pattern"])
    found = {text: bool(pattern.search(text)) for text in [*DURATIONS, " 5%", "5%5", "5m5m"]}
    assert found == {text: is_read(text) for text in found}
    assert 20 < sum(found.values()) < len(found) / 2


def test_the_schema_writes_the_default_as_an_experiment_file_does():
    assert make_json_schema()["$defs"]["Train"]["properties"]["checkpoint"]["default"] == "5m"


@pytest.mark.parametrize(
    ("duration", "message"),
    [
        (Duration(Decimal(5), "%"), "is '5%', which has a unit that is not allowed here"),
        (Duration(Decimal(-5), "m"), "is '-5m', which is not above 0"),
        (Duration(Decimal("Infinity"), "m"), "is 'Infinitym', which is not a number with a unit"),
    ],
)
def test_a_duration_made_in_python_is_checked_too(duration, message):
    with pytest.raises(ValueError, match=message):
        Train(time_limit=duration)
