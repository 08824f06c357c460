"""One word for one thing, the field's own: retired words and keys do not come back."""

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import NamedTuple

import pytest
from source_code import MODULES, ROOT, list_texts

HISTORY = {ROOT / "docs" / "glossary.md", ROOT / "CHANGELOG.md"}
"""Files that may say what something was called."""


class Retired(NamedTuple):
    """What is written no more."""

    pattern: str
    write: str
    """What is written instead."""
    example: str
    """A text in which the pattern is found."""


WORDS = (
    Retired(r"judg(e[sd]?|ing|e?ment)", "evaluate, evaluation", "the model is judged"),
    Retired(r"keepers?", "encoder", "Files keeper"),
    Retired(r"likeness(es)?", "similarity", "the likeness of two images"),
    Retired(r"alike", "similar; the same", "images that look alike"),
    Retired(r"residents?", "in-memory", "resident splits"),
    Retired(r"streamed", "streaming; read from the store as needed", "splits are streamed"),
    Retired(r"(?<!standard )deviations?", "std", "mean and\n    deviation"),
    Retired(
        r"exit(ed|s)?\s+(with\s+)?status|status\s+(\d|\{[a-z_.]*code)",
        "exit code",
        "ends with status 3",
    ),
    Retired(r"verdicts?", "report", "its verdict"),
    Retired(r"unfold(s|ed|ing)?", "expand", "a file that unfolds to gigabytes"),
    Retired(r"torn", "corrupt, truncated", "a torn log"),
    Retired(r"turn(s|ed|ing)?\s+away", "reject", "is turned away"),
    Retired(r"br(oke|eaks|oken)\s+off", "interrupted, incomplete", "where it broke off"),
    Retired(r"lent|lends?|lending", "map, give", "memory lent to a process"),
    Retired(r"ha(s|ve|d)\s+not\s+(the|an?)", "does not have", 'worker 1 has not\n    # the same "'),
    Retired(
        r"(is|are|was|were|be)\s+no\s+(?!longer|more|less|fewer|better|worse)[a-z]+",
        "is not",
        'f"{value} is"\n    " no finite number"',
    ),
    Retired(r"reading_process(es)?|reading\s+process(es)?", "data_workers", "reading_processes: 2"),
    Retired(r"steps_per_call", "steps_per_execution", "train.steps_per_call"),
    Retired(r"micro_batch", "micro_batch_size", "micro_batch: 8"),
    Retired(r"average_weights", "ema", "average_weights: {decay: 0.9}"),
    Retired(r"store_as", "storage", "store_as: pixels"),
    Retired(r"(?<!\.)train\.choose", "train.select_weights", "set train.choose"),
    Retired(r"(?<!\.)train\.repeats", "train.augmentation_repeats", "train.repeats is 2"),
    Retired(r"(?<!\.)train\.resample", "train.sampling", "set train.resample"),
    Retired(r"(?<!\.)evaluate\.resamples", "evaluate.bootstrap_samples", "evaluate.resamples is 9"),
    Retired(r"(?<!\.)data\.limit", "data.max_images", "data.limit is 5"),
    Retired(r"(?<!\.)data\.splits", "data.splits_file", "data.splits names no file"),
)
"""In every text, as whole words, on one line or two."""

KEYS = (
    Retired(r"choose", "select_weights", "{choose: last}"),
    Retired(r"repeats", "augmentation_repeats", "train:\n  repeats: 2"),
    Retired(r"resample", "sampling", "`resample: {by: class}`"),
    Retired(r"resamples", "bootstrap_samples", "evaluate: {metrics: [], resamples: 9}"),
    Retired(r"floor", "final_fraction", "{name: cosine, floor: 0.1}"),
    Retired(r"limit", "max_images", "`limit: 1000`"),
    Retired(r"splits", "splits_file", "`splits: splits.csv`"),
    Retired(
        r"name: (flip|crop|affine|colour|grey|noise|blur|erasing)",
        "the part's name, such as random_flip",
        "[{name: flip}]",
    ),
)
"""As keys of YAML, in documents, configurations and messages."""

NAMES = {
    "colour": "color",
    "colours": "colors",
    "cut": "crop; split",
    "cuts": "crops; splits",
    "deviation": "std",
    "deviations": "std",
    "feed": "iterator",
    "feeds": "iterators",
    "grey": "gray, grayscale",
    "greys": "grays",
    "judged": "evaluated",
    "keeper": "encoder",
    "looks": "image statistics",
    "resident": "in memory",
    "room": "buffer",
    "torn": "corrupt",
    "verdict": "report",
    "window": "crop",
    "windows": "crops",
}
"""In names of the code, and in strings that are a name, such as a key: with what is written."""
HONEST_NAMES = ("CutMix", "legacy_windows", "looks_like_a_value")
"""Keras's layer, an argument of rich, and a verb."""
PLACES = ("README.md", "CONTRIBUTING.md", "Makefile", "docs/*.md", "configs/*", "scripts/*")
SOURCES = [*MODULES, *sorted((ROOT / "bench").rglob("*.py"))]
DOCUMENTS = sorted({path for place in PLACES for path in ROOT.glob(place)} - HISTORY)
TESTS = sorted(
    {*(ROOT / "tests").glob("*.py")} - {Path(__file__), ROOT / "tests" / "test_formats.py"}
)
"""All but this file, and the one that writes files of earlier formats."""


def find_words(text: str) -> list[str]:
    """Return a line for each retired word of a text, with what to write."""
    joined = re.sub(r"""["']?\s*\n\s*(#\s*)?(f?["'])?""", _blank, text)
    joined = re.sub(r"\bthere\s+(is|are|was|were|be)\b", _blank, joined, flags=re.IGNORECASE)
    return [
        f"line {text.count(chr(10), 0, match.start()) + 1}: '{match[0]}'; write: {each.write}"
        for each in WORDS
        for match in re.finditer(rf"(?<!\w)({each.pattern})(?!\w)", joined, re.IGNORECASE)
    ]


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def find_keys(text: str) -> list[str]:
    """Return a line for each retired key of a text in which YAML stands."""
    return [
        f"'{match[0].strip()}'; write: {each.write}"
        for each in KEYS
        for match in re.finditer(rf"(^ *|[`{{,] ?)({each.pattern})(:\s|[}},`])", text, re.MULTILINE)
    ]


def find_names(text: str) -> list[str]:
    """Return a line for each name in a module's code that has a retired word in it.

    An augmentation's `RANDOM_KEY` keeps an old name, so that old numbers come again.
    """
    text = re.sub(r'^RANDOM_KEY = "\w+"', "", text, flags=re.MULTILINE)
    names = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NAME
    ]
    names += [each for each in list_texts(ast.parse(text)) if re.fullmatch(r"[A-Za-z_]+", each)]
    retired = {
        name: NAMES[word]
        for name in set(names) - set(HONEST_NAMES)
        for word in re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())
        if word in NAMES
    }
    return [f"'{name}'; write: {write}" for name, write in sorted(retired.items())]


@pytest.mark.parametrize(
    "path", [*SOURCES, *DOCUMENTS, *TESTS], ids=lambda path: str(path.relative_to(ROOT))
)
def test_retired_words_do_not_come_back(path: Path):
    assert find_words(path.read_text()) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_retired_keys_do_not_come_back_in_documents(path: Path):
    assert find_keys(path.read_text()) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_retired_names_and_keys_do_not_come_back_in_code(path: Path):
    text = path.read_text()
    keys = [found for each in list_texts(ast.parse(text)) for found in find_keys(each)]
    assert keys + find_names(text) == []


@pytest.mark.parametrize("retired", WORDS, ids=lambda retired: retired.write)
def test_a_retired_word_is_found(retired: Retired):
    readme = (ROOT / "LICENSE").read_text()
    (found,) = find_words(f"{readme}\n{retired.example}\n")
    assert found.endswith(f"write: {retired.write}")


@pytest.mark.parametrize("retired", KEYS, ids=lambda retired: retired.write)
def test_a_retired_key_is_found(retired: Retired):
    (found,) = find_keys(retired.example)
    assert found.endswith(f"write: {retired.write}")


@pytest.mark.parametrize(
    "line", ["grey = 1", "x.cut_below()", "def f(window):\n    pass", "class TornLog:\n    pass"]
)
def test_a_retired_name_is_found(line: str):
    assert len(find_names(f'"""What it is."""\n\n{line}\n')) == 1
    assert len(find_names('row = {"grey": 1}\n')) == 1


@pytest.mark.parametrize(
    "text",
    [
        "there is no store, and there\n    is no run; it is no longer here",
        "the standard deviation of the pixels",
        "micro_batches of micro_batch_size",
        "a power cut; a window of the desktop",
        "it has not been written; status.json; the status of a run",
        "data.splits_file, data.store_dir",
    ],
)
def test_an_honest_word_is_not_found(text: str):
    assert find_words(text) == []


@pytest.mark.parametrize("text", ["the limit: 3", "# splits: are described", "no_limit: 3"])
def test_an_honest_key_is_not_found(text: str):
    assert find_keys(text) == []


def test_an_honest_name_is_not_found():
    assert find_names('"""Cut a window."""\nRANDOM_KEY = "grey"\ncutmix = "a grey one"\n') == []
