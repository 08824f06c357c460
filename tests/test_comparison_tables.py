"""The tables and the text of a comparison: 80 columns, what matters first, nothing left unsaid."""

from pathlib import Path

import numpy
import pytest
from compared_runs import make_compared, make_family
from experiments import command

from imgcls.comparison import page, tables
from imgcls.comparison.text_report import format_report
from imgcls.verbs.compare import compare


@pytest.fixture(autouse=True)
def without_page(monkeypatch):
    """Draw nothing; test_comparison_page.py tests the page."""
    monkeypatch.setattr(page, "write_page", lambda *arguments: None)


def test_metrics_with_an_interval_come_first_and_undefined_ones_are_left_out(workspace):
    for number, name in enumerate(("old", "new")):
        make_compared(Path(name), 0.4 + number / 2, number)
    found = compare([Path("old"), Path("new")]).comparisons[0]
    rows = tables.make_metric_rows(found)
    has_interval = [row["interval"] is not None for row in rows]
    assert has_interval == sorted(has_interval, reverse=True)
    assert rows[0]["metric"] == "accuracy"
    assert {each.metric for each in found.metrics} - {row["metric"] for row in rows} >= {
        "top_5_accuracy"  # undefined with three classes
    }


@pytest.mark.parametrize("classes", [3, 60])
def test_no_line_has_more_than_80_columns(workspace, classes):
    for number, name in enumerate(("old", "new", "third")):
        make_compared(Path(name), 0.4 + number / 4, number, classes=classes, seed=number)
    exit_code, stdout, _ = command("compare", "old", "new", "third")
    assert exit_code == 0
    assert max(map(len, stdout.splitlines())) <= 80
    is_divided = "the first and the last 10 of 60" in " ".join(stdout.split())
    assert is_divided == (classes == 60)


def test_the_table_of_a_family_has_mean_and_std_of_its_runs(workspace):
    images = numpy.arange(24)
    make_compared(Path("old"))
    make_family(Path("new"), [images < count for count in (18, 20, 22)])
    found = compare([Path("old"), Path("new")])
    row = tables.make_spread_rows(found, found.comparisons[0])[0]
    assert (row["metric"], row["old_mean"], row["old_std"]) == ("accuracy", None, None)
    assert row["new_mean"] == pytest.approx(20 / 24)
    assert row["new_std"] == pytest.approx(2 / 24)
    assert "new (3 runs by seed)" in format_report(found)
    runs = compare([Path("old"), Path("old")])
    assert tables.make_spread_rows(runs, runs.comparisons[0]) == []


def test_several_candidates_are_numbered(workspace):
    for name in ("old", "new", "third"):
        make_compared(Path(name))
    found = compare([Path("old"), Path("new"), Path("third")])
    assert tables.list_folders(found) == {"old": "old", "new_1": "new", "new_2": "third"}
    assert "The intervals are not adjusted for the number of comparisons." in format_report(found)


def test_numbers_of_settings_are_not_rounded(workspace):
    make_compared(Path("old"))
    rate = {"optimizer": {"name": "adamw", "learning_rate": 0.000123456}}
    make_compared(Path("new"), train=rate)
    found = compare([Path("old"), Path("new")])
    (row,) = tables.make_difference_rows(found, found.settings)
    assert row == {
        "key": "train.optimizer.learning_rate",
        "old": "0.001",
        "new": "0.000123456",
    }
