"""What `--help` prints: every command and option is explained, in whole paragraphs."""

import inspect
import textwrap

import pytest
from experiments import command

from imgcls.cli.main import COMMANDS, imgcls
from imgcls.verbs.diagnose import diagnose
from imgcls.verbs.evaluate import evaluate


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_text_with_an_example(name):
    exit_code, stdout, stderr = command(name, "--help")
    assert (exit_code, stderr) == (0, "")
    assert f"Example: imgcls {name}" in stdout


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_breaks_a_paragraph_only_where_the_terminal_ends(name, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, stdout, _ = command(*name.split(), "--help")
    for paragraph in inspect.getdoc(COMMANDS.get(name, imgcls)).split("\n\n"):
        lines = textwrap.wrap(" ".join(paragraph.split()), columns - 2)
        assert "\n".join(lines) in "\n".join(line.strip() for line in stdout.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name):
    for parameter in inspect.signature(COMMANDS[name]).parameters.values():
        assert parameter.annotation.__metadata__[0].help, f"{name} {parameter.name}"


@pytest.mark.parametrize(
    ("name", "option", "verb", "argument"),
    [
        ("eval", "split", evaluate, "split_name"),
        ("doctor", "precision", diagnose, "precision"),
    ],
)
def test_a_command_has_the_default_of_its_verb(name, option, verb, argument):
    default = inspect.signature(COMMANDS[name]).parameters[option].default
    assert default == inspect.signature(verb).parameters[argument].default


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_h_is_help_and_a_flag_has_no_type(name):
    short = command(*name.split(), "-h")
    assert short == command(*name.split(), "--help")
    assert short[0] == 0
    assert "bool" not in short[1]
