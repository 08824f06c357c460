"""Names stay legible, whatever a folder may be called."""

import matplotlib
import pytest

from imgcls.figures import _style


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cat"),
        ("n02123045 tabby", "n02123045 tabby"),
        ("new\nline\tand  space", "new line and space"),
        ("caf\udce9", "caf?"),
        ("species_genus_variety_0001", "species_gen…y_0001"),
    ],
)
def test_a_name_is_one_printable_line_whose_ends_stay(name: str, expected: str):
    assert _style.shorten(name, length=18) == expected


@pytest.mark.parametrize("length", [2, 3, 10, 17])
def test_a_long_name_gets_exactly_the_length(length: int):
    assert len(_style.shorten("abcdefghijklmnopqrst", length=length)) == length


def test_characters_that_no_font_draws_are_found():
    assert _style.find_missing_glyphs(["cat", "Katze ä", "кот"]) == ""
    assert _style.find_missing_glyphs(["cat", "\U0010fffd\U0010fffd!"]) == "\U0010fffd"


def test_the_users_own_matplotlib_settings_neither_matter_nor_change():
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40}):
        with _style.apply_style():
            assert matplotlib.rcParams["text.usetex"] is False
            assert matplotlib.rcParams["font.size"] == 9
        assert matplotlib.rcParams["font.size"] == 40
