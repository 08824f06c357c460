"""No text from outside reaches the terminal as a sequence that it would obey."""

import json

import pytest
from experiments import TINY, change_json, command, write_experiment
from synthetic_run import make_run

from imgcls.cli import output
from imgcls.io import terminal, yaml_file
from imgcls.report.tables import format_table
from imgcls.run import Run

HOSTILE = "a\x1b]0;x\x07\x9b31m\u202eb\u2066\x7f"
"""A title, a color and a deletion, and controls of the direction of writing."""


def assert_harmless(text: str) -> None:
    """A text has letters, blanks, tabs and line breaks alone."""
    assert text
    assert all(each in "\n\t" or each.isprintable() for each in text), ascii(text)


KEYS = {
    "an unknown key": {**TINY, HOSTILE: 1},
    "an unknown part": {**TINY, "model": HOSTILE},
    "a wrong value": {**TINY, "seed": HOSTILE},
    "a parent": {**TINY, "extends": HOSTILE},
}


@pytest.mark.parametrize("kind", KEYS)
def test_words_of_an_experiment_are_escaped(kind, workspace):
    (workspace / "x.yaml").write_text(json.dumps(KEYS[kind]))
    exit_code, stdout, stderr = command("check", "x.yaml")
    assert (exit_code, stdout) == (2, "")
    assert_harmless(stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", HOSTILE),
        ("check", "experiment.yaml", "--set", HOSTILE),
        ("check", "experiment.yaml", "--set", f"{HOSTILE}=1"),
        ("check", "experiment.yaml", "--set", f"seed={HOSTILE}"),
        ("check", "experiment.yaml", f"--{HOSTILE}"),
        ("check", "experiment.yaml", HOSTILE),
        ("plot", HOSTILE),
        ("parts", HOSTILE),
        (HOSTILE,),
    ],
    ids=range(9),
)
def test_words_of_the_command_line_are_escaped(arguments, workspace):
    write_experiment(workspace, TINY)
    exit_code, _, stderr = command(*arguments)
    assert exit_code in (2, 3)
    assert_harmless(stderr)


def test_an_accepted_experiment_is_printed_with_escapes_of_yaml(workspace):
    path = workspace / "x.yaml"
    path.write_text(json.dumps({**TINY, "data": {"name": "folder", "path": HOSTILE, "size": 8}}))
    exit_code, stdout, _ = command("check", path)
    assert exit_code == 0
    assert_harmless(stdout)
    assert yaml_file.parse(stdout, "stdout").value["data"]["path"] == HOSTILE


def test_a_damaged_status_is_explained_without_its_escapes(workspace):
    run = Run(workspace / "run")
    make_run(run.folder)
    change_json(run.status_file, state=HOSTILE)
    exit_code, _, stderr = command("plot", run.folder)
    assert exit_code == 3
    assert_harmless(stderr)


def test_tables_notes_and_results_are_escaped(capsys):
    """Class names, arrays of files and answers of servers come through these."""
    terminal.note(f"the server answers 500 {HOSTILE}")
    output.print_result({HOSTILE: HOSTILE}, False, lambda result: f"{result[HOSTILE]}\t1\n2")
    output.print_result({HOSTILE: HOSTILE}, True, str)
    captured = capsys.readouterr()
    assert_harmless(captured.out)
    assert_harmless(captured.err)
    assert_harmless(format_table([{HOSTILE: HOSTILE, "images": 1}]))
