"""Texts for the terminal: short, and with nothing that a terminal would obey."""

import re
import time

import pytest
from experiments import command

from imgcls.errors import UserError
from imgcls.io import terminal


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, ""),
        (1, "0"),
        (3, "0, 1, 2"),
        (4, "0, 1, 2 and 1 more"),
        (2003, "0, 1, 2 and 2,000 more"),
    ],
)
def test_only_the_first_items_of_a_line_are_shown(count, text):
    assert terminal.format_some([str(i) for i in range(count)], limit=3) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (2, "  0\n  1"), (3, "  0\n  1\n  and 1 more")]
)
def test_only_the_first_lines_of_a_block_are_shown(count, text):
    assert terminal.format_lines([str(i) for i in range(count)], limit=2) == text


def test_line_breaks_escapes_and_broken_utf8_are_spelled_out():
    assert terminal.to_printable("a\n\x1b[2Jé\udcff") == "a\\n\\x1b[2Jé\\udcff"


def test_a_second_error_is_printed_below_the_first(workspace, monkeypatch):
    def fail(path, overrides):
        error = UserError("the loss is not finite")
        error.add_note("cannot write run/status.json: no space left")
        raise error

    monkeypatch.setattr("imgcls.experiment_file.read_experiment", fail)
    exit_code, _, stderr = command("check", "experiment.yaml")
    assert exit_code == 2
    assert stderr.splitlines() == [
        "imgcls: the loss is not finite",
        "imgcls: cannot write run/status.json: no space left",
    ]


def test_a_bar_of_images_shows_how_many_are_done_per_second(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with terminal.show_bar(None, "predict", terminal.IMAGES) as advance:
        for _ in range(3):
            time.sleep(0.2)
            advance(100)
    assert re.search(r"predict .* [1-9]\d* images/s", capsys.readouterr().err)
