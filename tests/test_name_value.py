"""NAME=VALUE on the command line: one form, and the same words where it is broken."""

import pytest
from experiments import TINY, command, write_experiment

from imgcls import name_value
from imgcls.errors import UserError


def test_a_value_is_all_that_follows_the_first_sign():
    assert name_value.parse_pair("--set", " a.b = c=d ", "KEY=VALUE") == ("a.b", " c=d ")


@pytest.mark.parametrize("text", ["", "a", "=3", " =3"])
def test_a_text_without_a_name_or_sign_is_refused_with_the_form(text):
    with pytest.raises(UserError) as error:
        name_value.parse_pair("--set", text, "KEY=VALUE, such as a=3")
    assert str(error.value) == f"--set {text}: needs the form KEY=VALUE, such as a=3"


@pytest.mark.parametrize("text", ["0.25", " 2.5e-1 ", "1_0"])
def test_a_number_is_what_python_reads_as_one(text):
    assert name_value.parse_number("--tolerance", f"loss={text}", "") == ("loss", float(text))


@pytest.mark.parametrize("text", ["", "much", "nan", "inf", "-inf", "0,9"])
def test_a_value_that_is_not_a_finite_number_is_refused(text):
    with pytest.raises(UserError, match=f"--tolerance a={text}: '{text}' is not a finite number"):
        name_value.parse_number("--tolerance", f"a={text}", "")


def test_numbers_are_found_by_name():
    assert name_value.parse_numbers("--tolerance", ["loss=1", "accuracy=0.5"], "") == {
        "loss": 1,
        "accuracy": 0.5,
    }


def test_a_name_that_is_given_twice_is_refused():
    with pytest.raises(UserError, match="--tolerance loss=2: loss is given twice; give it once"):
        name_value.parse_numbers("--tolerance", ["loss=1", "loss=2"], "")


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train..epochs=3", ".=3"])
def test_an_override_of_another_form_is_refused(workspace, override):
    path = write_experiment(workspace, TINY)
    exit_code, stdout, stderr = command("check", path, "--set", override)
    assert (exit_code, stdout) == (2, "")
    assert f"--set {override}: needs the form KEY=VALUE, such as train.epochs=5" in stderr
