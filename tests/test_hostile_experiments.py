"""Experiment files that nobody would write: each is refused at its place, and within a second."""

import re
import time
from pathlib import Path

import pytest

from imgcls.errors import UserError
from imgcls.experiment_file import read_experiment
from imgcls.io import yaml_file

BASE = "name: tiny\ndata: digits\nmodel: cnn\n"
PLACE = re.compile(r":\d+:\d+: |^--set")


def refuse(path: Path, overrides: list[str]) -> str:
    """Return the message of the refusal; every line has a place, and it takes a second at most."""
    begin = time.process_time()
    with pytest.raises(UserError) as refused:
        read_experiment(path, overrides)
    assert time.process_time() - begin < 1
    message = str(refused.value)
    assert all(PLACE.search(line) for line in message.splitlines())
    return message


LONG = {
    "brackets": "augment: " + "[" * 50_000,
    "braces": "augment: " + "{a: " * 20_000,
    "dashes": "augment:\n" + "- " * 40_000,
    "deep blocks": "".join(f"{' ' * depth}a:\n" for depth in range(300)),
    "unknown keys": "".join(f"k{number}: 1\n" for number in range(4_500)),
    "a list": f"augment: [{'1, ' * 9_000}1]",
    "mappings": f"augment: [{'{name: nothing}, ' * 4_000}]",
    "too many values": f"augment: [{'1, ' * 20_000}1]",
    "too many bytes": f"# {'x' * yaml_file.MAX_BYTES}",
    "a long word": f'seed: "{"y" * 90_000}"',
}


@pytest.mark.parametrize("kind", LONG)
def test_a_long_or_deep_experiment_is_refused_within_a_second(kind: str, tmp_path: Path) -> None:
    """Neither reading nor explaining the mistakes takes more than linear time."""
    path = tmp_path / "long.yaml"
    path.write_text(BASE + LONG[kind])
    assert len(refuse(path, [])) < 100_000


SETS = {
    "words": [f"train.optimizer=[{'a, ' * 25_000}a]"],
    "keys": ["model={" + ", ".join(f"k{number}: 1" for number in range(4_500)) + "}"],
    "brackets": ["a=" + "[" * 50_000],
    "options": ["train.epochs=5"] * 5_000,
    "bytes": ["name=" + "x" * 200_000],
    "levels": [".".join("a" * 500) + "=1"],
    "a key without value": ["a" * 5_000],
}


@pytest.mark.parametrize("kind", SETS)
def test_a_long_override_is_refused_within_a_second(kind: str, tmp_path: Path) -> None:
    """The message quotes its beginning alone."""
    path = tmp_path / "tiny.yaml"
    path.write_text(BASE)
    assert len(refuse(path, SETS[kind])) < 20_000


def test_a_file_without_end_is_refused() -> None:
    """Memory is bounded by what an experiment may have."""
    assert "has over 100,000 bytes" in refuse(Path("/dev/zero"), [])


@pytest.mark.parametrize(
    "parent", ["a\\0b", "x" * 300, "link.yaml", "~nobody", "/proc", "/proc/self/mem"]
)
def test_an_unusable_parent_is_refused_at_its_place(parent: str, tmp_path: Path) -> None:
    """Among them are a link to itself, and a file that cannot be read."""
    (tmp_path / "link.yaml").symlink_to("link.yaml")
    path = tmp_path / "child.yaml"
    path.write_text(f'extends: "{parent}"\n{BASE}')
    assert refuse(path, []).startswith(f"{path}:1:10: extends")


def test_a_long_chain_of_parents_is_refused(tmp_path: Path) -> None:
    """The time would grow with its square."""
    for number in range(300):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    assert "at most 20 files" in refuse(tmp_path / "0.yaml", [])


def test_a_path_with_a_null_character_is_a_mistake_of_the_user() -> None:
    """The system's functions raise ValueError for it."""
    with pytest.raises(UserError, match="cannot read"):
        read_experiment(Path("a\0b"))


@pytest.mark.parametrize(
    ("text", "place"),
    [(b"name: t\r\n  # \x07\n", "2:5"), (b"name: \x00", "1:7"), (b"name: t\nseed: \xff", "2:7")],
)
def test_a_character_that_yaml_forbids_has_its_place(
    text: bytes, place: str, tmp_path: Path
) -> None:
    """Control characters and bytes that are not UTF-8 are found in long files, too."""
    path = tmp_path / "control.yaml"
    path.write_bytes(text)
    assert refuse(path, []).startswith(f"{path}:{place}: ")


@pytest.mark.parametrize(
    "text",
    [
        'augment: [{name: "\\uDFFF"}]',
        'augment: ["\\uD800"]',
        'augment: [{name: "a\\n\\tb"}]',
        'evaluate: {groups: ["\\uD800", "\\uD800"]}',
        'evaluate: {intervals: ["\\uD800"]}',
        'train: {"\\uD800": 1}',
    ],
)
def test_a_name_that_no_file_can_hold_is_refused_at_its_place(text: str, tmp_path: Path) -> None:
    """YAML has escapes for lone surrogates, which cannot be encoded, and for line breaks."""
    path = tmp_path / "surrogate.yaml"
    path.write_text(f"{BASE}{text}")
    assert refuse(path, []).startswith(f"{path}:4:")


def test_line_breaks_of_an_override_stay_within_the_line_of_its_mistake(tmp_path: Path) -> None:
    """Each line of a message then has its place."""
    path = tmp_path / "tiny.yaml"
    path.write_text(BASE)
    assert refuse(path, ["augment=|\n      text\n"]).startswith("--set augment=|\\n")
