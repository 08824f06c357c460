"""YAML is read safely, with the line and column of every value."""

import math

import pytest

from imgcls.errors import UserError
from imgcls.io.yaml_file import Mark, ProblemsError, parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.0e-3", 0.001),
        (".5", 0.5),
        ("-2", -2),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", {}),
        ("'1'", "1"),
        ("2026-01-01", "2026-01-01"),
        ("1:30", "1:30"),
        ("0o17", "0o17"),
        (".inf", math.inf),
        ("[1, {a: b}]", [1, {"a": "b"}]),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    assert parse(text, "x").value == value


def test_every_value_and_key_has_its_line_and_column():
    document = parse("a: 1\nb:\n  - c: 2\n", "file.yaml")
    assert document.find_mark(("a",)) == Mark("file.yaml", 1, 4)
    assert str(document.find_mark(("b", 0, "c"), of_key=True)) == "file.yaml:3:5"
    assert document.find_mark(("b", 0, "missing")) == document.find_mark(("b", 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "x:2:1: key 'a' is given twice, first in line 1"),
        ("a: &b 1\nc: *b\n", "x:2:4: alias '*b' is not allowed"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            "x:1:4: tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
        ),
        ("a: !secret 1\n", "x:1:4: tag !secret is not allowed"),
        ("a: [1\nb: 2\n", "x:2:2: YAML syntax"),
        ("a: 1\n\tb: 2\n", "x:2:1: YAML syntax"),
        ("a: 1\n---\nb: 2\n", "x:2:1: YAML syntax"),
        ("? [a]\n: 1\n", "x:1:3: a key must be a word"),
        ("a: \x00", "x:1:4: YAML syntax"),
        ("[" * 1000 + "]" * 1000, "x:1:33: nested too deeply"),
    ],
)
def test_an_error_says_where_something_is_not_allowed(text, message):
    with pytest.raises(ProblemsError) as error:
        parse(text, "x")
    assert message in str(error.value)


def test_an_alias_bomb_is_rejected_before_it_expands():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    with pytest.raises(ProblemsError, match="alias"):
        parse("\n".join(lines), "bomb.yaml")


def test_a_missing_file_a_folder_and_a_binary_file_are_errors_with_their_path(tmp_path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff\xfe")
    for path, reason in (
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "Is a directory"),
        (binary, "not UTF-8 text"),
    ):
        with pytest.raises(UserError, match=reason) as error:
            read(path)
        assert str(path) in str(error.value)
