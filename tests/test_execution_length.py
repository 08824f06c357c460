"""The number of steps of an execution, chosen from the times of the first calls."""

from pathlib import Path

import pytest
from experiments import assert_same_result

from imgcls.run import Run
from imgcls.training.execution_length import ExecutionLength
from imgcls.verbs import train


def choose(seconds_per_step, most, limit=10**9, overhead=0.0):
    """Return the lengths of the calls up to the choice, the first of which takes a minute."""
    length = ExecutionLength(None, most)
    calls = []
    while not length.is_fixed:
        count = min(length.steps, limit)
        calls.append(count)
        length.record(count, overhead + (count * seconds_per_step if calls[1:] else 60.0))
    return [*calls, length.steps]


@pytest.mark.parametrize(
    ("seconds_per_step", "most", "expected"),
    [
        (0.5, 100, [1, 1, 1]),
        (0.2, 100, [1, 1, 1]),
        (0.1, 100, [1, 1, 2, 2]),
        (0.011, 1000, [1, 1, 8, 16, 16]),
        (0.001, 1000, [1, 1, 8, 64, 128, 128]),
        (0.001, 100, [1, 1, 8, 64, 100, 100]),
        (0.001, 5, [1, 1, 5, 5]),
        (0.0, 10**6, [1, 1, 8, 64, 512, 4096, 32768, 262144, 10**6, 10**6]),
    ],
)
def test_calls_grow_by_powers_of_two_to_a_fifth_of_a_second(
    seconds_per_step, most, expected, capsys
):
    assert choose(seconds_per_step, most) == expected
    steps = "1 step runs" if expected[-1] == 1 else f"{expected[-1]} steps run"
    assert capsys.readouterr().err.startswith(f"note: {steps} in each call, for")


def test_the_fixed_cost_of_a_call_is_spread_over_its_steps():
    calls = choose(0.001, 10_000, overhead=0.05)
    assert calls == [1, 1, 2, 4, 8, 16, 32, 64, 64]


def test_a_call_that_is_short_because_an_epoch_ends_does_not_settle_the_choice():
    length = ExecutionLength(None, 1000)
    for count in (1, 1, 8):
        length.record(count, 0.001 * count)
    assert length.steps == 64
    length.record(3, 0.003)
    assert (length.steps, length.is_fixed) == (64, False)
    length.record(64, 0.064)
    assert length.steps == 128


def test_the_time_of_a_call_that_compiles_anew_does_not_count():
    length = ExecutionLength(None, 1000)
    for count in (1, 1):
        length.record(count, 0.001)
    length.expect_compilation()
    length.record(8, 60.0)
    assert (length.steps, length.is_fixed) == (8, False)


def test_a_given_number_stays_and_is_not_printed(capsys):
    length = ExecutionLength(5, 1000)
    length.record(5, 0.001)
    assert (length.steps, length.is_fixed, capsys.readouterr().err) == (5, True, "")


def test_results_do_not_depend_on_the_number_which_is_logged_and_printed_once(digits, capsys):
    settings = ("train.batch_size=32", "train.checkpoint=7 steps", "model.batch_norm=true")
    runs, notes = {}, {}
    for number in ("null", "1", "5"):
        runs[number] = Run(Path(number))
        train.train(digits(*settings, f"train.steps_per_execution={number}"), Path(number))
        notes[number] = capsys.readouterr().err.count("steps run in each call")
    assert notes == {"null": 1, "1": 0, "5": 0}
    assert [run.log[-1].steps_per_execution for run in runs.values()] == [
        pytest.approx(4, abs=3),  # up to the next checkpoint
        *(1, 5),
    ]
    assert_same_result(runs["null"], runs["1"])
    assert_same_result(runs["null"], runs["5"])
