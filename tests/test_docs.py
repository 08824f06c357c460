"""The README and the docs: every example in them is run, every link leads somewhere, every file of
the code that a newcomer looks for is named.
"""

import re
import shlex
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy
import pytest
import yaml
from experiments import command
from PIL import Image
from sklearn.datasets import load_digits

from imgcls import parts, schedules
from imgcls.config import Evaluate
from imgcls.datasets import ImageSettings
from imgcls.experiment_file import read_experiment
from imgcls.experiment_schema import make_json_schema
from imgcls.train_config import Train

ROOT = Path(__file__).parent.parent
README, CHANGELOG = ROOT / "README.md", ROOT / "CHANGELOG.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, CHANGELOG, ROOT / "CONTRIBUTING.md", *DOCS]
PACKAGE = ROOT / "imgcls"
FOLDERS = sorted(
    path.parent.name for path in PACKAGE.glob("*/__init__.py") if not path.parent.is_symlink()
)
ROOT_FILES = sorted(path.name for path in PACKAGE.glob("*.py") if path.stem != "__init__")
SECTIONS = {"train": Train, "data": ImageSettings, "evaluate": Evaluate}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def find_blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def list_anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def read_tree() -> str:
    """Return the README's tree of folders and files."""
    return README.read_text().partition("## The tree\n")[2]


def each_page_with(language: str) -> pytest.MarkDecorator:
    """Return a mark that runs a test on every page that has code in a language."""
    pages = [page for page in PAGES if find_blocks(page, language)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.name)


NEED_EXTRAS = {
    name
    for name in parts.list_names("exporters")
    if parts.load("exporters", name).Settings.extra is not None
} | {"quantize", "tune"}
"""Words in a command whose libraries are an extra; only a test of extras runs it."""


def list_commands(page: Path) -> list[str]:
    """Return the commands on a page, one a line."""
    return "".join(find_blocks(page, "bash")).splitlines()


def needs_extra(line: str) -> bool:
    """Return whether a command needs an extra."""
    return bool(NEED_EXTRAS & set(re.split(r"[\s/]", line)))


def save_digits(folder: Path) -> None:
    """Write some of scikit-learn's digits as PNG files, named after their class."""
    folder.mkdir()
    data = load_digits()
    for image, label in zip(data.images[:10], data.target[:10], strict=True):
        Image.fromarray((image * 16).clip(0, 255).astype(numpy.uint8)).save(folder / f"{label}.png")


def run_commands(lines: list[str]) -> None:
    """Run commands of a page, which must all work."""
    shutil.copytree(ROOT / "configs", "configs")
    save_digits(Path("photos"))
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "imgcls", line
        if words[1:] != ["doctor"]:  # test_diagnose.py runs it; it takes as long as all others
            exit_code, _, stderr = command(*words[1:])
            assert exit_code == 0, f"{line}: {stderr}"


@each_page_with("bash")
def test_every_command_of_a_page_works(page, workspace, quick_measurement):
    run_commands([line for line in list_commands(page) if not needs_extra(line)])


@pytest.mark.extras
@pytest.mark.filterwarnings("default")  # the libraries' own
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(map(needs_extra, list_commands(page)))],
    ids=lambda page: page.name,
)
def test_every_command_of_a_page_works_with_the_extras(page, workspace):
    run_commands(list_commands(page))


@each_page_with("yaml")
def test_every_example_experiment_is_valid(page, workspace):
    Path("base.yaml").write_text("name: base\ndata: {name: digits}\nmodel: {name: cnn}\n")
    for number, block in enumerate(find_blocks(page, "yaml")):
        path = Path(f"{number}.yaml")
        path.write_text(block)
        said = yaml.safe_load(block)
        assert read_experiment(path).name == said.get("name", "base")


@each_page
def test_every_block_of_code_is_of_a_language_that_is_tested(page):
    fences = re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)
    tested = {
        "bash",
        "yaml",
        "text",
        *(["python"] if page.name in ("parts.md", "model.md", "predicting.md") else []),
    }
    assert set(fences[::2]) <= tested
    assert set(fences[1::2]) <= {""}


def test_the_example_part_is_found_and_works(tmp_path, monkeypatch):
    (code,) = find_blocks(ROOT / "docs" / "parts.md", "python")
    (tmp_path / "schedules").mkdir()
    (tmp_path / "schedules" / "exponential.py").write_text(code)
    monkeypatch.setattr(schedules, "__path__", [str(tmp_path / "schedules")])
    monkeypatch.setattr(parts, "PACKAGE", tmp_path)
    parts.list_names.cache_clear()
    try:
        module = parts.load("schedules", "exponential")
        steps = numpy.array([0, 15, 30, 60])
        rates = module.compute(module.Settings(name="exponential"), 1.0, steps, 100, 10)
        numpy.testing.assert_allclose(rates, [1.0, 0.1**0.5, 0.1, 0.01])
    finally:
        parts.list_names.cache_clear()


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page):
    text = page.read_text()
    for link in [*re.findall(r"\]\(([^)]+)\)", text), *re.findall(r'src="([^"]+)"', text)]:
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in list_anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", [*DOCS, CHANGELOG, ROOT / "CONTRIBUTING.md"], ids=str)
def test_the_readme_leads_to_every_page(page):
    assert f"]({page.relative_to(ROOT)})" in README.read_text()


def test_the_targets_that_are_named_are_those_of_the_makefile():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in (README, ROOT / "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^    |`)make ([\w-]+)", page.read_text(), re.MULTILINE))
        assert len(named) > 2
        assert named <= targets


@pytest.mark.parametrize("name", [*ROOT_FILES, *[f"{folder}/" for folder in FOLDERS]])
def test_the_tree_has_a_phrase_for_each_file_of_the_root_and_each_folder(name):
    assert re.search(rf"^      {re.escape(name)} +\w.{{6,}}$", read_tree(), re.MULTILINE)


@pytest.mark.parametrize("line", re.findall(r"^      (\w+/ .*(?:\n {20}.*)*)", read_tree(), re.M))
def test_the_tree_names_files_that_exist(line):
    folder = PACKAGE / line.partition("/")[0]
    named = set(re.findall(r"\w+\.py", line))
    assert named <= {path.name for path in folder.glob("*.py")}


@pytest.mark.parametrize(
    "name", ["cli", "imgcls", "configs", "docs", "tests", "bench", "scripts", "runs", "data"]
)
def test_the_tree_has_each_folder_of_the_top(name):
    assert re.search(rf"^    (\w+/ )?{name}/", read_tree(), re.MULTILINE)


def test_the_picture_of_the_architecture_has_every_folder_and_file_of_the_root():
    picture = ElementTree.parse(ROOT / "docs" / "architecture.svg").getroot()
    words = set(re.findall(r"\w+/?", " ".join(picture.itertext())))
    assert {f"{folder}/" for folder in FOLDERS} | {Path(name).stem for name in ROOT_FILES} <= words


@pytest.mark.parametrize("kind", parts.KINDS)
def test_the_page_on_architecture_says_how_a_part_of_each_kind_is_added(kind):
    assert f"\n| `{kind}/` | `" in (ROOT / "docs" / "architecture.md").read_text()


def test_the_page_of_commands_is_what_they_print(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import document_commands

    assert document_commands.PAGE.read_text() == document_commands.make_page(), "run make docs"


@pytest.mark.parametrize(
    ("old", "new"),
    re.findall(
        rf"^\| `((?:{'|'.join(SECTIONS)})\.\w+).*?` \| `([a-z_.]+)",
        CHANGELOG.read_text(),
        re.MULTILINE,
    ),
)
def test_a_renamed_key_has_its_new_name_alone(old, new):
    for path, there in ((new, True), (old, old == new)):
        section, _, key = path.partition(".")
        assert (key in SECTIONS[section].model_fields) == there, path


def test_every_setting_is_in_the_schema_with_its_description():
    schema = make_json_schema()
    objects, undescribed = [schema], set()
    while objects:
        inner = objects.pop()
        for name, value in inner.items() if isinstance(inner, dict) else enumerate(inner):
            objects += [value] if isinstance(value, dict | list) else []
            for key, field in value.items() if name == "properties" else ():
                section = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
                undescribed |= set() if "description" in section | field else {key}
    assert schema["properties"]["seed"]["description"].startswith("The seed from which")
    assert undescribed == {"name"}


def test_the_tables_of_files_say_what_the_models_hold(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import document_files

    page = document_files.PAGE.read_text()
    assert page == document_files.insert_tables(page), "run make docs"
    assert document_files.make_tables() in page


def test_every_key_of_a_file_has_its_meaning_in_the_tables():
    rows = re.findall(r"^\| `(.+?)` \| (.*) \|$", (ROOT / "docs" / "files.md").read_text(), re.M)
    assert len(rows) > 90
    assert all(meaning.endswith(".") for _, meaning in rows), rows
