"""The layers: light modules import nothing heavy, arrows point down only, one module builds paths,
one exits.
"""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "h5py": "h5py",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "simplejpeg": "simplejpeg",
}
"""Dependencies that no light module imports at its top, each with the name it is imported by."""
LIGHT = {
    "filelock": "filelock",
    "pydantic": "pydantic",
    "pyyaml": "yaml",
    "rich": "rich",
    "typer": "typer",
}
MOST_LINES = 300
PACKAGE = ROOT / "imgcls"
MODULES = sorted(PACKAGE.rglob("*.py"))
COMMANDS = sorted((ROOT / "cli").glob("*.py"))
VERBS = sorted(path for path in (PACKAGE / "verbs").glob("*.py") if path.name != "__init__.py")


def module_name(path: Path) -> str:
    """Return `imgcls.models.cnn` for its file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_light(path: Path) -> bool:
    """Tell whether a module's docstring says that it belongs to the light zone."""
    return zones(path.read_text()) != ["Heavy"]


def top_level_imports(path: Path) -> set[str]:
    """Return the names of the modules that importing a file imports."""
    names = set()
    waiting = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update([node.module, *[f"{node.module}.{alias.name}" for alias in node.names]])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not isinstance(node, ast.FunctionDef):
            waiting.extend(ast.iter_child_nodes(node))
    return names


def zones(text: str) -> list[str]:
    """Return the zones that a module's docstring states."""
    docstring = " ".join((ast.get_docstring(ast.parse(text)) or "").split())
    return re.findall(r"\b(Light|Heavy) zone\b", docstring)


def heavy_imports(path: Path) -> set[str]:
    """Return what a light module imports at its top and must not."""
    imports = top_level_imports(path)
    heavy_modules = {module_name(other) for other in MODULES if not is_light(other)}
    packages = {name for name in imports if name.split(".")[0] in HEAVY.values()}
    return packages | imports & heavy_modules


@pytest.mark.parametrize("path", [*MODULES, *COMMANDS], ids=lambda path: path.stem)
def test_a_module_states_exactly_one_zone(path):
    assert len(zones(path.read_text())) == 1


@pytest.mark.parametrize("path", [path for path in MODULES if is_light(path)], ids=module_name)
def test_a_light_module_imports_nothing_heavy(path):
    assert heavy_imports(path) == set()


def test_a_module_without_its_zone_and_a_heavy_import_are_found(tmp_path):
    text = (PACKAGE / "seeds.py").read_text()
    assert zones(re.sub(r"Light\s+zone", "", text)) == []
    changed = tmp_path / "seeds.py"
    for line in ("import cv2", "from PIL import Image", "import h5py.defs"):
        changed.write_text(f"{text}\n{line}\n")
        assert heavy_imports(changed)


def test_every_dependency_is_known_as_heavy_or_light():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", each)[0] for each in project["dependencies"]}
    assert names == HEAVY.keys() | LIGHT.keys()
    assert not HEAVY.keys() & LIGHT.keys()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_nothing_below_the_command_line_imports_it(path):
    assert not any(name.startswith("imgcls.cli") for name in top_level_imports(path))


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.parent.name != "verbs"], ids=module_name
)
def test_nothing_below_the_verbs_imports_a_verb(path):
    assert not any(name.startswith("imgcls.verbs") for name in top_level_imports(path))


@pytest.mark.parametrize("path", VERBS, ids=module_name)
def test_verbs_never_import_each_other(path):
    runs = {"reproduce": {"train", "evaluate"}, "diagnose": {"prepare"}}.get(path.stem, set())
    others = (
        {module_name(other) for other in VERBS}
        - {module_name(path)}
        - {f"imgcls.verbs.{name}" for name in runs}
    )
    assert not top_level_imports(path) & others


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["train", "--help"],
        ["check", str(ROOT / "configs" / "digits.yaml")],
        ["parts"],
        ["schema"],
    ],
)
def test_help_check_parts_and_schema_import_nothing_heavy(command):
    code = (
        "import sys\n"
        "from imgcls.cli.main import app\n"
        "status = 0\n"
        "try:\n"
        f"    app({command!r})\n"
        "except SystemExit as exit:\n"
        "    status = exit.code\n"
        f"print('HEAVY', sorted(set(sys.modules) & {set(HEAVY.values())!r}), status)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "HEAVY [] 0"


def test_only_the_main_module_of_the_command_line_exits():
    for path in [*MODULES, *sorted((ROOT / "cli").glob("*.py"))]:
        if path.relative_to(ROOT) in (Path("cli/main.py"), Path("imgcls/io/signals.py")):
            continue
        text = path.read_text()
        assert "sys.exit" not in text, path
        assert "os._exit" not in text, path


def test_only_run_py_names_the_files_of_a_run():
    for path in MODULES:
        if path != PACKAGE / "run.py":
            text = path.read_text()
            for name in (
                '"metrics.json"',
                '"log.jsonl"',
                '"predictions.npz"',
                '"environment.json"',
                '"config.yaml"',
            ):
                assert name not in text, f"{path} builds a path in a run: {name}"


def test_functions_and_files_stay_short():
    for path in MODULES:
        lines = path.read_text().splitlines()
        assert len(lines) <= MOST_LINES, f"{path} has {len(lines)} lines"
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 50, f"{path}:{node.lineno} {node.name}"
