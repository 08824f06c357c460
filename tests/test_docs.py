"""The README and the docs: every command in them is run, every link leads somewhere."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from experiments import command

from imgcls import parts, schedules
from imgcls.experiment_file import json_schema, read_experiment

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_works(page, workspace):
    shutil.copytree(ROOT / "configs", "configs")
    for block in blocks(page, "bash"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "imgcls", line
            exit_code, _, stderr = command(*words[1:])
            assert exit_code == 0, f"{line}: {stderr}"


def test_the_commands_of_the_readme_are_those_of_the_makefile():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make (\w+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test", "bench"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_experiment_is_valid(page, workspace):
    Path("base.yaml").write_text("name: base\ndata: {name: digits}\nmodel: {name: cnn}\n")
    for number, block in enumerate(blocks(page, "yaml")):
        path = Path(f"{number}.yaml")
        path.write_text(block)
        read_experiment(path)


def test_the_example_part_is_found_and_works(tmp_path, monkeypatch):
    (code,) = blocks(ROOT / "docs" / "parts.md", "python")
    (tmp_path / "schedules").mkdir()
    (tmp_path / "schedules" / "step.py").write_text(code)
    monkeypatch.setattr(schedules, "__path__", [str(tmp_path / "schedules")])
    monkeypatch.setattr(parts, "PACKAGE", tmp_path)
    parts.list_names.cache_clear()
    try:
        module = parts.load("schedules", "step")
        schedule = module.build(module.Settings(name="step"), 1.0, 100, 10)
        assert [round(float(schedule(step)), 4) for step in (0, 29, 30, 60)] == [
            1.0,
            1.0,
            0.1,
            0.01,
        ]
    finally:
        parts.list_names.cache_clear()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_setting_is_in_the_schema_with_its_description():
    schema = json_schema()
    objects, undescribed = [schema], set()
    while objects:
        inner = objects.pop()
        for name, value in inner.items() if isinstance(inner, dict) else enumerate(inner):
            objects += [value] if isinstance(value, dict | list) else []
            for key, field in value.items() if name == "properties" else ():
                section = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
                undescribed |= set() if "description" in section | field else {key}
    assert schema["properties"]["seed"]["description"].startswith("The one seed")
    assert undescribed == {"name"}


def test_the_tables_of_files_say_what_the_models_hold(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import document_files

    page = document_files.PAGE.read_text()
    assert page == document_files.insert_tables(page), "run python scripts/document_files.py"
    assert document_files.make_tables() in page


def test_every_key_of_a_file_has_its_meaning_in_the_tables():
    rows = re.findall(r"^\| `(.+?)` \| (.*) \|$", (ROOT / "docs" / "files.md").read_text(), re.M)
    assert len(rows) > 90
    assert all(meaning.endswith(".") for _, meaning in rows), rows
