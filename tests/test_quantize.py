"""A quantized run is a LiteRT file, which every command runs in its own runtime."""

import importlib.util
import shutil
from pathlib import Path

import numpy
import pytest
from experiments import command, json_of
from exportable_run import make_run, open_export, predict_in_keras, read_split
from PIL import Image

from imgcls import load
from imgcls.run import Run
from imgcls.training.model_description import read_description

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("default")]  # the libraries' own

TYPES = {"float16": 1e-4, "dynamic": 0.02, "int8": 0.06}
"""The types, each with the largest difference of a probability."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantizable")
    make_run(folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A finished run."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return Run(tmp_path / "run")


def quantize(run, kind, *options):
    """Return a quantized run."""
    settings = ["--method", "quantize", "--set", f"compress.0.type={kind}"]
    return Run(Path(json_of("compress", run.folder, *settings, *options)["run"]))


@pytest.mark.parametrize(
    ("kind", "quantizer"),
    [
        *((kind, "converter") for kind in TYPES),
        *((kind, "ai_edge_quantizer") for kind in ("dynamic", "int8")),
    ],
)
def test_a_quantized_run_predicts_nearly_what_the_original_does(run, kind, quantizer):
    made = quantize(run, kind, "--set", f"compress.0.quantizer={quantizer}")
    images, labels = read_split(run, "test")
    found = json_of("eval", made.folder)
    expected = predict_in_keras(run, images)
    with numpy.load(made.predictions_file("test")) as saved:
        probabilities = saved["probabilities"]
    numpy.testing.assert_allclose(probabilities, expected, atol=TYPES[kind])
    if (kind, quantizer) != ("int8", "converter"):  # which rounds probabilities to 1/256
        numpy.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    accuracy = (expected.argmax(axis=1) == labels).mean()
    assert found["metrics"]["accuracy"] == pytest.approx(accuracy, abs=0.02)
    assert made.model_file.stat().st_size < run.model_file.stat().st_size


def test_a_quantized_run_describes_its_model_and_its_calibration(run):
    made = quantize(run, "int8")
    assert read_description(made.model_file) == read_description(run.model_file)
    (step,) = made.compression.steps
    assert step.details == {
        "type": "int8",
        "quantizer": "converter",
        "calibration_images": 256,
        "calibration_split": "train",
    }


@pytest.mark.parametrize("quantizer", ["converter", "ai_edge_quantizer"])
def test_quantizing_again_gives_the_same_bytes(run, quantizer):
    options = ["--set", f"compress.0.quantizer={quantizer}"]
    one, other = (quantize(run, "int8", *options).model_file.read_bytes() for _ in range(2))
    assert one == other


def test_the_other_quantizer_needs_its_extra_and_another_type_than_float16(run, monkeypatch):
    options = ["--method", "quantize", "--set", "compress.0.quantizer=ai_edge_quantizer"]
    exit_code, _, stderr = command(
        "compress", run.folder, *options, "--set", "compress.0.type=float16"
    )
    assert exit_code == 2
    assert "type is float16, which" in stderr
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "quantizer" in name else find(name)
    )
    exit_code, _, stderr = command("compress", run.folder, *options)
    assert exit_code == 2
    assert "pip install 'imgcls[quantizer]'" in stderr


@pytest.mark.parametrize("kind", TYPES)
def test_export_copies_the_file_of_a_quantized_run_and_describes_it(run, kind):
    made = quantize(run, kind)
    (compared,) = json_of("export", made.folder, "--format", "litert")
    folder = open_export(made, "litert")
    artifact = folder.folder / "model.tflite"
    assert artifact.read_bytes() == made.model_file.read_bytes()
    about = folder.read_metadata()
    assert (about.precision, compared["precision"]) == (kind, kind)
    assert about.model_sha256 == about.artifact_sha256
    assert about.classes == run.data.classes
    assert (compared["agreement"], compared["largest_difference"]) == (1, 0)
    scores = [json_of("eval", made.folder, *options) for options in ([], ["--artifact", artifact])]
    assert scores[0]["metrics"] == scores[1]["metrics"]


def test_predict_gives_what_eval_does(run):
    made = quantize(run, "dynamic")
    images, _ = read_split(run, "validation")
    json_of("eval", made.folder, "--split", "validation")
    found = load(made.folder).predict(images)
    with numpy.load(made.predictions_file("validation")) as saved:
        numpy.testing.assert_array_equal(found.probabilities, saved["probabilities"])


def test_features_of_a_quantized_run_are_refused(run, tmp_path):
    made = quantize(run, "float16")
    Image.new("L", (8, 8)).save(tmp_path / "photo.png")
    options = ["--features", tmp_path / "features.npz"]
    exit_code, _, stderr = command("predict", made.folder, tmp_path / "photo.png", *options)
    assert exit_code == 2
    assert "this run was compressed to LiteRT" in stderr


def test_folding_comes_before_quantizing(run):
    made = Run(
        Path(json_of("compress", run.folder, "--method", "fold", "--method", "quantize")["run"])
    )
    assert made.model_file == made.litert_file
    exit_code, _, stderr = command(
        "compress", run.folder, "--method", "quantize", "--method", "fold"
    )
    assert exit_code == 2
    assert "no method can follow quantize" in stderr


@pytest.mark.parametrize(
    ("name", "options", "advice"),
    [
        ("compress", ["--method", "fold"], "compress the run that it was made of"),
        ("export", ["--format", "onnx"], "give --format litert, which writes that file"),
    ],
)
def test_a_quantized_run_is_not_changed_or_converted(run, name, options, advice):
    made = quantize(run, "float16")
    exit_code, _, stderr = command(name, made.folder, *options)
    assert exit_code == 2
    assert "was compressed to" in stderr
    assert advice in stderr


def test_a_training_split_that_is_too_small_is_refused(run):
    options = ["--set", "compress.0.calibration_images=2000"]
    exit_code, _, stderr = command("compress", run.folder, "--method", "quantize", *options)
    assert exit_code == 3
    assert "needs 2000 training images" in stderr
    assert "the split has" in stderr


def test_int8_needs_the_data_and_float16_does_not(run):
    store = run.experiment.data.store_dir
    run.config_file.write_text(run.config_file.read_text().replace(store, f"{store}-moved"))
    exit_code, _, stderr = command("compress", run.folder, "--method", "quantize")
    assert exit_code == 3
    assert "method quantize needs the data of the run" in stderr
    assert quantize(run, "float16").model_file.is_file()


def test_a_damaged_file_is_an_error_of_one_line(run):
    made = quantize(run, "dynamic")
    content = made.model_file.read_bytes()
    made.model_file.write_bytes(content[:200] + bytes(400) + content[600:])
    exit_code, _, stderr = command("eval", made.folder)
    assert exit_code == 3
    assert str(made.model_file) in stderr
