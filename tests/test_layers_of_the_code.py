"""The layers: light modules import nothing heavy, arrows point down only, one module exits."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
from source_code import COMMANDS, MODULES, PACKAGE, ROOT, list_imports, list_zones, name_module

from imgcls import parts

HEAVY = {
    "ai-edge-litert": "ai_edge_litert",
    "ai-edge-quantizer": "ai_edge_quantizer",
    "tensorflow-datasets": "tensorflow_datasets",
    "keras-hub": "keras_hub",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    **{name: name for name in ("cmaes", "h5py", "keras", "matplotlib", "numpy", "onnx")},
    "mlflow-skinny": "mlflow",
    **{name: name for name in ("onnxruntime", "openvino", "optuna", "psycopg", "pyarrow")},
    **{name: name for name in ("scipy", "simplejpeg", "sqlalchemy", "tensorflow", "tf2onnx")},
    "threadpoolctl": "threadpoolctl",
}
"""Dependencies that no light module imports at its top, each with the name it is imported by."""
LIGHT = {
    "filelock": "filelock",
    "importlib_resources": "importlib_resources",
    "pydantic": "pydantic",
    "pyyaml": "yaml",
    "rich": "rich",
    "typer": "typer",
}
"""Dependencies that cost little, each with the name it is imported by."""
MACHINERY = (
    "audit",
    "comparison",
    "compression",
    "device",
    "distributed",
    "evaluation",
    "explanation",
    "export",
    "image",
    "input",
    "io",
    "prediction",
    "pruning",
    "rehearsal",
    "report",
    "split",
    "store",
    "training",
    "transfer",
    "tuning",
)
"""The folders that each hold the machinery of one concern."""
ROOT_IMPORTS = {
    "imgcls": {"imgcls.prediction": "`imgcls.load` is what programs import imgcls for"},
    "imgcls.backend": {"imgcls.device": "finds cuSOLVER", "imgcls.io": "silences TensorFlow"},
    "imgcls.config": {
        "imgcls.augmentations": "experiment files are checked with the settings of all kinds",
        **dict.fromkeys(("imgcls.compressors", "imgcls.datasets", "imgcls.explainers"), "as above"),
        "imgcls.io": "an experiment is written as YAML",
        "imgcls.metrics": "the type of its metrics' settings",
        "imgcls.models": "the type of its model's settings",
        "imgcls.schedules": "a warm-up is compared with the training's epochs",
    },
    "imgcls.completion": {"imgcls.rehearsal": "the names of recipes are completed"},
    "imgcls.environment": {"imgcls.io": "it is a record", "imgcls.device": "it states the GPUs"},
    "imgcls.errors": {"imgcls.training": "only the type of what DivergenceError carries"},
    "imgcls.experiment_file": {
        "imgcls.io": "an experiment is read from YAML",
        "imgcls.tuning": "the space of a search is checked with the experiment",
    },
    "imgcls.experiment_keys": {"imgcls.io": "only the type of a location in YAML"},
    "imgcls.experiment_problems": {"imgcls.io": "only the types of places in YAML"},
    "imgcls.family": {
        "imgcls.io": "as for imgcls.run",
        "imgcls.distributed": "the type of what refuses several workers",
    },
    "imgcls.result_folder": {
        "imgcls.evaluation": "the type of what metrics.json holds",
        "imgcls.io": "it is a record",
    },
    "imgcls.run": {
        "imgcls.compression": "the type of what compression.json holds",
        "imgcls.io": "files are written by rename",
        "imgcls.store": "the type of what data.json holds",
        "imgcls.training": "the types of what status.json and log.jsonl hold",
    },
    "imgcls.train_config": dict.fromkeys(
        ("imgcls.losses", "imgcls.optimizers", "imgcls.strategies"), "the types of its settings"
    ),
    "imgcls.tune_config": {"imgcls.samplers": "the type of its sampler's settings"},
    "imgcls.run_lookup": {"imgcls.io": "the choice of a run is told on the terminal"},
}
"""The folders that a module of the root imports from, with the reason; no others."""
VERB_IMPORTS = {
    "imgcls.verbs.compress": {"imgcls.verbs.train"},
    "imgcls.verbs.compare": {"imgcls.verbs.evaluate"},
    "imgcls.verbs.diagnose": {"imgcls.verbs.prepare"},
    "imgcls.verbs.train_family": {
        "imgcls.verbs.train",
        "imgcls.verbs.prepare",
        "imgcls.verbs.evaluate",
        "imgcls.verbs.rehearse",
    },
    "imgcls.verbs.rehearse": {"imgcls.verbs.train"},
    "imgcls.verbs.tune": {"imgcls.verbs.train", "imgcls.verbs.compare"},
    "imgcls.verbs.reproduce": {"imgcls.verbs.train", "imgcls.verbs.evaluate"},
    "imgcls.verbs.run_all": {f"imgcls.verbs.{x}" for x in ("prepare", "train", "evaluate", "plot")},
}
"""The verbs that run others."""
FOLDERS = (*parts.KINDS, *MACHINERY)
DIGITS = ROOT / "configs" / "digits.yaml"


def find_wrong_zone(text: str) -> str:
    """Return what is wrong with what a module says of its zone; empty where nothing is."""
    stated = list_zones(text)
    return "" if len(stated) == 1 else f"states {len(stated)} zones {stated}, not exactly one"


def find_heavy_imports(text: str) -> set[str]:
    """Return what importing a module that says that it is light would import, and must not."""
    if list_zones(text) == ["Heavy"]:
        return set()
    imported = list_imports(text, when_called=False)
    packages = {name for name in imported if name.partition(".")[0] in HEAVY.values()}
    return packages | imported & HEAVY_MODULES


def find_upward_imports(module: str, text: str) -> set[str]:
    """Return the imports of a module that point up, or sideways between verbs, in functions too."""
    wrong = set()
    folder = module.split(".")[1] if module.count(".") > 1 or module in PACKAGES else "root"
    for name in list_imports(text, when_called=True):
        verb = re.match(r"imgcls\.verbs\.\w+", name)
        into = ".".join(name.split(".")[:2])
        wrong |= {name} if name.startswith((".", "cli")) else set()
        wrong |= {name} if into == "imgcls.cli" and not module.startswith("cli.") else set()
        if into == "imgcls.verbs" and folder == "verbs":
            allowed = VERB_IMPORTS.get(module, set()) | {module}
            wrong |= {name} if verb and verb[0] not in allowed else set()
        elif into == "imgcls.verbs" and not module.startswith("cli."):
            wrong.add(name)
        if into in PACKAGES and folder == "root" and not module.startswith("cli"):
            wrong |= {name} if into not in ROOT_IMPORTS.get(module, {}) else set()
    return wrong


PACKAGES = {f"imgcls.{folder}" for folder in (*FOLDERS, "verbs")}
TEXTS = {name_module(path): path.read_text() for path in MODULES}
HEAVY_MODULES = {module for module, text in TEXTS.items() if list_zones(text) == ["Heavy"]}


@pytest.mark.parametrize("module", TEXTS)
def test_a_module_states_exactly_one_zone(module):
    assert find_wrong_zone(TEXTS[module]) == ""


@pytest.mark.parametrize("zone", ["", "Light zone. Heavy zone.", "Light zones.", "light zone"])
def test_a_module_without_its_zone_is_found(zone):
    assert find_wrong_zone(f'"""What it is. {zone}"""\n')


@pytest.mark.parametrize("module", TEXTS)
def test_a_light_module_imports_nothing_heavy(module):
    assert find_heavy_imports(TEXTS[module]) == set()


@pytest.mark.parametrize(
    "line",
    [
        *[f"import {name}" for name in HEAVY.values()],
        "import h5py.defs",
        "from PIL import Image",
        "from imgcls.backend import tf",
        "from imgcls import backend",
        "try:\n    import cv2\nexcept ImportError:\n    cv2 = None",
        "if True:\n    import cv2",
        "class Reader:\n    import cv2",
        "if TYPE_CHECKING:\n    import cv2\nelse:\n    import cv2 as c",
    ],
)
def test_a_heavy_import_in_a_light_module_is_found(line):
    assert find_heavy_imports(f"{TEXTS['imgcls.seeds']}\n{line}\n")


@pytest.mark.parametrize(
    "line", ["def read():\n    import cv2", "if TYPE_CHECKING:\n    import cv2", "import yaml"]
)
def test_what_a_light_module_may_import_is_not_found(line):
    assert find_heavy_imports(f"{TEXTS['imgcls.seeds']}\n{line}\n") == set()


def test_every_dependency_is_known_as_heavy_or_light():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    unused = ("bench", "dev", "pretrained")
    extras = [each for name in optional.keys() - unused for each in optional[name]]
    names = {re.match(r"[\w-]+", each)[0] for each in [*project["dependencies"], *extras]}
    assert names == HEAVY.keys() | LIGHT.keys()
    assert not HEAVY.keys() & LIGHT.keys()


@pytest.mark.parametrize("module", TEXTS)
def test_a_module_imports_only_dependencies(module):
    dependencies = {*HEAVY.values(), *LIGHT.values(), "pydantic_core"}  # pydantic has it
    known = {"imgcls", *dependencies, *sys.stdlib_module_names}
    imported = {name.partition(".")[0] for name in list_imports(TEXTS[module], when_called=True)}
    assert imported <= known


def test_every_folder_is_a_kind_of_parts_or_machinery_or_the_verbs():
    folders = {module.split(".")[1] for module in TEXTS if module.count(".") == 2}
    assert folders == {*FOLDERS, "verbs"}
    assert all(kind.endswith("s") for kind in parts.KINDS)
    assert not any(folder.endswith("s") for folder in MACHINERY)


@pytest.mark.parametrize("module", TEXTS)
def test_no_import_points_up(module):
    assert find_upward_imports(module, TEXTS[module]) == set()


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("imgcls.verbs.train", "from imgcls.cli import output"),
        ("imgcls.models.cnn", "from imgcls.verbs import train"),
        ("imgcls.models", "from imgcls.verbs import train"),
        ("imgcls.training.trainer", "def run():\n    from imgcls.verbs.train import train"),
        ("imgcls.verbs.plot", "def run():\n    from imgcls.verbs import evaluate"),
        ("imgcls.verbs.reproduce", "import imgcls.verbs.plot"),
        ("imgcls.run", "from imgcls.verbs import train"),
        ("imgcls.run", "from imgcls.image import decode"),
        ("imgcls.seeds", "from imgcls import io"),
        ("imgcls.seeds", "from . import verbs"),
        ("imgcls.seeds", "import cli.main"),
    ],
)
def test_an_import_that_points_up_is_found(module, line):
    assert find_upward_imports(module, f"{TEXTS[module]}\n{line}\n")


@pytest.mark.parametrize("module", ROOT_IMPORTS)
def test_every_exception_for_the_root_is_needed(module):
    imported = list_imports(TEXTS[module], when_called=True)
    assert {".".join(name.split(".")[:2]) for name in imported} >= ROOT_IMPORTS[module].keys()


@pytest.mark.parametrize(
    "command", ["--help", "train --help", "eval --help", f"check {DIGITS}", "parts", "schema"]
)
def test_help_check_parts_and_schema_import_nothing_heavy(command):
    code = (
        "import sys\n"
        "from imgcls.cli.main import app\n"
        "status = 0\n"
        "try:\n"
        f"    app({command.split()!r})\n"
        "except SystemExit as exit:\n"
        "    status = exit.code\n"
        f"print('HEAVY', sorted(set(sys.modules) & {set(HEAVY.values())!r}), status)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "HEAVY [] 0"


def test_only_the_main_module_of_the_command_line_exits():
    may_exit = {ROOT / "cli" / "main.py", PACKAGE / "io" / "signals.py"}
    for path in set(MODULES) - may_exit:
        assert not re.search(r"\bsys\.exit|\bos\._exit|\braise SystemExit", path.read_text()), path


def find_logic(text: str) -> list[str]:
    """Return what a module does beside importing, calling and naming values."""
    logic = (ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.With, ast.Match, ast.comprehension)
    logic = (*logic, ast.BoolOp, ast.Compare, ast.UnaryOp)
    return [ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, logic)]


@pytest.mark.parametrize("name", [path.stem for path in COMMANDS])
def test_a_command_parses_imports_calls_and_prints_and_decides_nothing(name):
    decides = name in ("main", "output", "help")  # exit codes, JSON or text, types of flags
    assert bool(find_logic((ROOT / "cli" / f"{name}.py").read_text())) == decides


@pytest.mark.parametrize("line", ["x = y or []", "x = 1 if y else 2", "[x for x in y]", "not x"])
def test_a_decision_in_a_command_is_found(line):
    assert find_logic(f"def command(y):\n    {line}\n")
