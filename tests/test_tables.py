"""Tables of text: every line fits 80 terminal cells, and shows or announces all there is."""

import os
import pty
import subprocess
import sys

import pytest
from rich.cells import cell_len

from imgcls.report.tables import LEAST, WIDTH, format_cell, format_pairs, format_table

NUMBERS = {
    "average_precision": 1.0,
    "precision": 0.5,
    "recall": 1.0,
    "f1": 0.25,
    "specificity": 0.75,
    "support": 36,
    "roc_auc": 0.125,
}
NAMES = ["cat", "漢" * 60, "🐶" * 60, "e\u0301" * 90, "a " * 90, "\x1b[31m\n\udcff"]
"""Class names: ordinary, wide, with accents of their own, long, and with what a terminal obeys."""


def find_ends(text: str, word: str) -> set[int]:
    """Return the cells at which a word ends, over the lines that have it."""
    lines = [line for line in text.splitlines() if word in line]
    return {cell_len(line[: line.index(word) + len(word)]) for line in lines}


def test_text_stands_to_the_left_and_numbers_to_the_right():
    rows = [{"class": "cat", "images": 5}, {"class": "greyhound", "images": 1200}]
    assert format_table(rows).splitlines() == [
        "class      images",
        "cat             5",
        "greyhound   1,200",
    ]


def test_no_row_is_an_empty_text():
    assert format_table([]) == ""


@pytest.mark.parametrize(
    ("name", "cells"), [("cat", 3), ("漢字", 4), ("🐶", 2), ("🇩🇪", 2), ("e\u0301te\u0301", 3)]
)
def test_numbers_line_up_after_names_of_wide_characters(name, cells):
    lines = format_table([{"class": name, "n": 7}, {"class": "x" * 9, "n": 7}]).splitlines()
    assert lines[1] == name + " " * (9 - cells) + "  7"


@pytest.mark.parametrize("name", NAMES)
def test_every_line_fits_whatever_the_classes_are_called(name):
    text = format_table([{"class": name, **NUMBERS}, {"class": "dog", **NUMBERS}])
    assert max(map(cell_len, text.splitlines())) <= WIDTH
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert len(find_ends(text, "0.2500")) == 1


@pytest.mark.parametrize("texts", range(1, 8))
@pytest.mark.parametrize("numbers", range(12))
def test_no_number_and_no_column_is_lost_however_many_there_are(texts, numbers):
    row = {f"text_{i}": f"{i}" * 50 for i in range(texts)}
    row |= {f"a_number_{i}": 1000 + i for i in range(numbers)}
    text = format_table([row])
    assert max(map(cell_len, text.splitlines())) <= WIDTH
    words = text.replace(",", "").split()
    assert {str(1000 + i) for i in range(numbers)} <= set(words)
    assert all(any(word.startswith(f"{i}" * 9) for word in words) for i in range(texts))


def test_a_long_name_keeps_its_two_ends_the_same_in_every_part_of_the_table():
    text = format_table([{"class": f"first {'漢' * 60} last", **NUMBERS}])
    shown = {line.partition(" last")[0] for line in text.splitlines() if line.startswith("first ")}
    assert len(shown) == 1
    assert "…" in shown.pop()
    assert text.count(" last ") == 2


def test_a_name_of_twenty_cells_is_shown_whole():
    row = {f"column_{i}": f"{i}" * LEAST for i in range(6)}
    assert set(row.values()) <= set(format_table([row]).split())


def test_an_accent_never_lands_on_the_ellipsis():
    assert "…e" in format_table([{"class": "e\u0301" * 90}])


def test_long_headers_take_several_lines_before_a_table_is_divided():
    lines = format_table([{"class": "0", **NUMBERS}]).splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["average_", "roc_"],
        ["class", "precision", "precision", "recall", "f1", "specificity", "support", "auc"],
    ]
    assert len(lines) == 3


def test_the_last_line_says_how_many_rows_are_not_shown():
    rows = [{"image": str(i)} for i in range(1500)]
    assert format_table(rows, limit=2).splitlines() == ["image", "0", "1", "and 1,498 more"]
    assert format_table(rows[:2], limit=2).splitlines() == ["image", "0", "1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ([], "-"),
        (0.0, "0.0000"),
        (0.98765, "0.9877"),
        (-0.001, "-0.0010"),
        (3.456e-9, "3.46e-09"),
        (12345.6, "12,346"),
        (1234, "1,234"),
        (True, "True"),
        ((0.5, 1e-6), "[0.5000, 1.00e-06]"),
        (["keras 3", "numpy 2"], "keras 3, numpy 2"),
        ("a\nb", "a\\nb"),
    ],
)
def test_a_cell_is_short_and_hides_no_number(value, text):
    assert format_cell(value) == text


def test_long_values_go_on_below_where_they_begin():
    text = format_pairs(
        {"name": "word " * 40, "path": "/".join(["folder"] * 30), "wide": "漢" * 60}
    )
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= WIDTH
    assert {line[4:6] for line in lines} == {"  "}
    assert text.count("word") == 40
    assert "".join(line[6:] for line in lines if "folder" in line) == "/".join(["folder"] * 30)
    assert text.count("漢") == 60


def test_names_in_brackets_and_colons_are_no_markup():
    assert format_pairs({"[b]": "[bold]:dog:"}) == "[b]  [bold]:dog:"


def test_a_terminal_and_a_pipe_get_the_same_text():
    code = (
        "from imgcls.report.tables import format_pairs, format_table\n"
        f"print(format_table([{{'class': '漢字', **{NUMBERS!r}}}]))\n"
        "print(format_pairs({'speed': 'word ' * 40}))"
    )
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "200", "TERM": "xterm-256color"}
    arguments = [sys.executable, "-c", code]
    piped = subprocess.run(arguments, capture_output=True, env=environment, check=True).stdout
    ours, theirs = pty.openpty()
    subprocess.run(arguments, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000)
    os.close(ours)
    assert shown.replace(b"\r\n", b"\n") == piped
    assert b"\x1b" not in piped
