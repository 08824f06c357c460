"""Sizes and names: short files and functions, one class of a name, one module that knows a run's
files.
"""

import ast
import collections
import re
from pathlib import Path

import pytest
from source_code import MODULES, PACKAGE, ROOT, list_classes, list_texts, name_module

MOST_LINES = 300
MOST_COLUMNS = 100
LINES_OF_A_FUNCTION = 50
"""A function has fewer lines than this one."""
RUN = (PACKAGE / "run.py", PACKAGE / "result_folder.py")
NOT_INSTALLED = sorted(
    path for folder in ("bench", "scripts", "tests") for path in (ROOT / folder).rglob("*.py")
)
FILES = [*MODULES, *NOT_INSTALLED]


def find_long_places(text: str) -> list[str]:
    """Return in a line each where a file, one of its lines or functions is too long."""
    lines = text.splitlines()
    places = [f"has {len(lines)} lines"] if len(lines) > MOST_LINES else []
    for number, line in enumerate(lines, 1):
        if len(line) > MOST_COLUMNS:
            places.append(f"line {number} has {len(line)} columns")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length >= LINES_OF_A_FUNCTION:
                places.append(f"{node.name} has {length} lines")
    return places


def find_bare_ignores(text: str) -> list[str]:
    """Return the comments that switch mypy off for more than one rule, or without the reason."""
    comments = re.findall(r"#\s*(?:type:\s*ignore|mypy:).*", text)
    wanted = r"# type: ignore\[[\w-]+\]  # \S.*"
    return [each for each in comments if not re.fullmatch(wanted, each)]


def list_file_names(text: str) -> set[str]:
    """Return the file names that the functions of `Run` which return paths build, from run.py."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and "Path" in ast.unparse(node.returns or node):
            names |= {each for each in list_texts(node) if re.search(r"\w\.\w|\w-", each)}
    return names


def find_file_names(text: str, names: set[str]) -> set[str]:
    """Return the string constants of a module that build a path to a file of a run."""
    return {
        each
        for each in list_texts(ast.parse(text))
        if any(_ends_with(each, name) for name in names)
    }


def _ends_with(text: str, name: str) -> bool:
    return text.rpartition("/")[2] == name


def find_shared_names(texts: dict[str, str]) -> dict[str, list[str]]:
    """Return the class names that several modules use, with the modules; each part's is
    `Settings`.
    """
    modules = collections.defaultdict(list)
    for module, text in texts.items():
        for name in set(list_classes(text)) - {"Settings"}:
            modules[name].append(module)
    return {name: of for name, of in modules.items() if len(of) > 1}


NAMES = sorted({name for path in RUN for name in list_file_names(path.read_text())})
"""The names of the files of a run."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_functions_and_lines_stay_short(path: Path):
    assert find_long_places(path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\n" * 301, "has 301 lines"),
        (f"x = '{'y' * 95}'\n", "line 1 has 101 columns"),
        ("def f():\n" + "    x = 1\n" * 49, "f has 50 lines"),
        ("async def f():\n" + "    x = 1\n" * 49, "f has 50 lines"),
    ],
)
def test_what_is_too_long_is_found(text: str, found: str):
    assert find_long_places(text) == [found]


@pytest.mark.parametrize(
    "text", ["x = 1\n" * 300, f"x = '{'y' * 94}'\n", "def f():\n" + "    x = 1\n" * 48]
)
def test_what_just_fits_is_not_found(text: str):
    assert find_long_places(text) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_mypy_is_overruled_only_in_one_rule_and_with_the_reason(path: Path):
    assert find_bare_ignores(path.read_text()) == []


@pytest.mark.parametrize(
    "comment",
    ["# type: ignore", "# type:ignore[misc]", "# type: ignore[misc]  #", "# mypy: ignore-errors"],
)
def test_a_rule_that_is_switched_off_without_a_reason_is_found(comment: str):
    assert find_bare_ignores(f"x = 1  {comment}\n") == [comment]


def test_an_ignore_with_its_rule_and_reason_is_not_found():
    assert find_bare_ignores("x = f()  # type: ignore[misc]  # f has no types\n") == []


def test_only_run_py_names_the_files_of_a_run():
    for path in MODULES:
        if path not in RUN:
            assert find_file_names(path.read_text(), set(NAMES)) == set(), path


def test_the_names_of_a_runs_files_are_read_from_run_py():
    run, results = (list_file_names(path.read_text()) for path in RUN)
    assert run > {"config.yaml", "log.jsonl", "state-"}
    assert results > {"metrics.json", "report.html"}
    text = RUN[0].read_text()
    added = (
        '\n    @property\n    def notes(self) -> Path:\n        return self.folder / "notes.md"\n'
    )
    assert list_file_names(text + added) - list_file_names(text) == {"notes.md"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["folder / '{}'", "f'{{folder}}/{}'", "open('runs/1/{}')"])
def test_a_module_that_names_a_file_of_a_run_is_found(name: str, path: str):
    text = (PACKAGE / "seeds.py").read_text() + f"\npath = {path.format(name)}\n"
    assert find_file_names(text, set(NAMES))


def test_no_two_classes_have_one_name():
    texts = {name_module(path): path.read_text() for path in MODULES}
    assert find_shared_names(texts) == {}
    twice = {**texts, "imgcls.copy": "class Experiment:\n    ...\n"}
    assert find_shared_names(twice) == {"Experiment": ["imgcls.config", "imgcls.copy"]}
