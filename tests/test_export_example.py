"""The program beside an export reads photos as stores do, and gives the answers of `predict`."""

import ast
import shutil
import sys

import numpy
import pytest
from exportable_run import make_run_of_photos, open_export
from predicted_runs import predict_lines
from test_docs import ROOT

from imgcls import parts
from imgcls.exporters._example import PREPROCESSING, make_example
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.verbs import export

RUNTIMES = {
    "saved_model": "tensorflow",
    "litert": "ai_edge_litert",
    "onnx": "onnxruntime",
    "openvino": "openvino",
}
EACH = [
    pytest.param(
        name,
        marks=[pytest.mark.extras, pytest.mark.filterwarnings("default")]
        if parts.load("exporters", name).Settings.extra
        else [],
    )
    for name in parts.list_names("exporters")
]


@pytest.fixture(scope="module", params=["pad", "crop", "stretch"])
def photos(request, tmp_path_factory):
    """A run of photos of all kinds."""
    return make_run_of_photos(tmp_path_factory.mktemp("photos"), request.param)


def run_example(folder, arguments, capsys, monkeypatch):
    """Run the program in this process; return the lines that it prints, divided at tabs."""
    program = folder.example_file.read_text()
    monkeypatch.setattr(sys, "argv", ["example.py", *map(str, arguments)])
    exec(compile(program, str(folder.example_file), "exec"), {"__file__": folder.example_file})
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", EACH)
def test_photos_of_all_kinds_get_the_answers_of_predict(
    photos, name, tmp_path, capsys, monkeypatch
):
    shutil.copytree(photos.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    export.export(run, formats=[name])
    store, _ = lookup.open_run_store(run.data, run.experiment.data.store_dir)
    ids = store.get_ids(numpy.arange(store.count))
    paths = [photos.folder.parent / "photos" / each for each in ids]
    expected = predict_lines(run.folder, *paths)
    capsys.readouterr()
    printed = run_example(open_export(run, name), paths, capsys, monkeypatch)
    assert [line[0] for line in printed] == [each["path"] for each in expected]
    assert [line[1] for line in printed] == [each["class"] for each in expected]
    probabilities = [each["probability"] for each in expected]
    assert [float(line[2]) for line in printed] == pytest.approx(probabilities, abs=1e-5)
    assert len(printed) == 23


@pytest.mark.parametrize("name", parts.list_names("exporters"))
def test_the_program_needs_the_runtime_numpy_and_pillow_alone(name):
    tree = ast.parse(make_example(name))
    imported = {
        module.partition(".")[0]
        for node in ast.walk(tree)
        for module in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - sys.stdlib_module_names == {RUNTIMES[name], "numpy", "PIL"}


def test_the_page_on_the_model_reads_photos_with_the_same_lines():
    assert PREPROCESSING in (ROOT / "docs" / "model.md").read_text()
