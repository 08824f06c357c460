"""Each format that needs an extra: what its own runtime gives, what is inside, what it lacks."""

import errno
import json
import os
import shutil
import sys
import zipfile

import exportable_run
import numpy
import pytest
import small_models
from experiments import command, json_of
from exportable_run import (
    build_logits,
    list_files,
    make_run,
    make_run_of_photos,
    open_export,
    predict_in_keras,
    read_split,
    write_model,
)

from imgcls import parts
from imgcls.backend import keras
from imgcls.errors import UserError
from imgcls.export import convert, runtime
from imgcls.export.convert import silence_libraries
from imgcls.run import Run
from imgcls.training import model_file
from imgcls.verbs import export

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("default")]  # the libraries' own
NAMES = [
    name
    for name in parts.list_names("exporters")
    if parts.load("exporters", name).Settings.extra is not None
]
each_format = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exportable")
    make_run(folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A run that was not exported."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return Run(tmp_path / "run")


def read_description(folder, name):
    """Return the JSON text in an artifact, read by the library of its format alone."""
    if name == "litert":
        with zipfile.ZipFile(folder / "model.tflite") as archive:
            return archive.read("imgcls.json")
    if name == "onnx":
        import onnx

        (found,) = onnx.load(folder / "model.onnx").metadata_props
        return found.value if found.key == "imgcls" else None
    import openvino

    model = openvino.Core().read_model(folder / "model.xml")
    return model.get_rt_info(["imgcls"]).value


@each_format
def test_the_artifact_predicts_in_batches_of_any_size_what_the_model_does(run, name):
    exit_code, stdout, stderr = command("export", run.folder, "--format", name)
    assert (exit_code, stderr) == (0, "")
    assert stdout.startswith(f"{run.exports_folder / name}: written\n")
    images, _ = read_split(run, "test")
    file = open_export(run, name).folder / parts.load("exporters", name).Settings.file_name
    predict = parts.load("exporters", name).load(file, 1)
    for count in (64, 1, 7, 64):
        found = predict(images[:count])
        numpy.testing.assert_allclose(found, predict_in_keras(run, images[:count]), atol=1e-5)
        assert found.dtype == numpy.float32


@each_format
def test_the_artifact_contains_its_description(run, name):
    export.export(run, formats=[name])
    folder = open_export(run, name)
    inside = json.loads(read_description(folder.folder, name))
    outside = json.loads(folder.metadata_file.read_text())
    assert {key: outside[key] for key in inside} == inside
    assert inside["classes"] == run.data.classes
    packages = parts.load("exporters", name).Settings.packages
    assert {"imgcls", "tensorflow", "keras", *packages} <= inside["versions"].keys()
    assert folder.hash_files(outside["artifact"]) == outside["sha256"]


@each_format
def test_an_evaluation_of_the_artifact_has_the_numbers_of_the_model(run, name):
    export.export(run, formats=[name])
    folder = open_export(run, name)
    artifact = folder.folder / folder.read_metadata().artifact
    found = json_of("eval", run.folder, "--artifact", artifact)
    expected = json_of("eval", run.folder)
    assert found["metrics"]["accuracy"] == expected["metrics"]["accuracy"]
    assert found["metrics"]["log_loss"] == pytest.approx(expected["metrics"]["log_loss"], rel=1e-5)
    assert found["matrices"] == expected["matrices"]


@each_format
@pytest.mark.parametrize("change", ["scaling", "temperature"])
def test_a_conversion_that_drops_something_ends_with_code_6(
    run, name, change, tmp_path, monkeypatch
):
    logits = build_logits(run.data.shape, 10, scale=1.0 if change == "scaling" else 1 / 255)
    temperature = 1.0 if change == "temperature" else exportable_run.TEMPERATURE
    other = model_file.make_serving_model(logits, temperature)
    convert.write_saved_model(other, tmp_path / "other")
    part = parts.load("exporters", name)
    own = part.convert
    monkeypatch.setattr(part, "convert", lambda source, *rest: own(tmp_path / "other", *rest))
    exit_code, _, stderr = command("export", run.folder, "--format", name)
    assert exit_code == 6
    assert "does not predict what model.keras does: " in stderr
    assert list_files(run.exports_folder) == []


@keras.saving.register_keras_serializable("tests")
class Strange(keras.layers.Layer):
    """A layer whose operation none of these formats has."""

    def call(self, inputs):
        return inputs + keras.ops.erfinv(keras.ops.tanh(inputs))


@each_format
def test_an_operation_that_a_format_lacks_is_named_with_its_layer(run, name):
    logits = build_logits(run.data.shape, 10)
    write_model(run, keras.Model(logits.input, Strange(name="strange")(logits.output)))
    exit_code, stdout, stderr = command("export", run.folder, "--format", name)
    assert (exit_code, stdout) == (2, "")
    assert stderr == (
        f"imgcls: {name} cannot express this model: its layer 'strange' uses Erfinv; choose another"
        " format, or train a model without this operation\n"
    )
    assert list_files(run.exports_folder) == []


@each_format
def test_a_full_disk_is_told_from_a_model_that_cannot_be_converted(run, name, tmp_path):
    model = model_file.make_serving_model(build_logits(run.data.shape, 10), 1.5)
    convert.write_saved_model(model, tmp_path / "graph")
    target = tmp_path / parts.load("exporters", name).Settings.file_name
    full = target.with_suffix(".bin") if name == "openvino" else target
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
        convert.convert(name, model, tmp_path / "graph", target, "{}")
    assert caught.value.errno == errno.ENOSPC


@each_format
def test_a_file_that_the_runtime_cannot_open_is_a_one_line_error(name, tmp_path):
    path = tmp_path / parts.load("exporters", name).Settings.file_name
    path.write_bytes(b"no model" * 100)
    with pytest.raises(UserError, match=f"the runtime of {name} cannot open {path}: ") as caught:
        runtime.open_runtime(name, path, 1)
    assert len(str(caught.value).splitlines()) == 1


@each_format
def test_a_model_trained_in_mixed_precision_is_exported_in_float32(tmp_path, name):
    run = make_run(tmp_path, "mixed_bfloat16")
    (found,) = export.export(run, formats=[name])
    assert found.reference == "the model in float32"
    assert found.largest_difference < 1e-5
    assert found.as_trained.largest_difference > 1e-5


def test_openvino_reports_no_import_to_its_makers():
    if "openvino" in parts.list_names("exporters"):
        with silence_libraries():
            parts.load("exporters", "openvino")._import_openvino()
        assert sys.modules["openvino_telemetry"] is None


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A run on small photos in color, for networks of all kinds."""
    return make_run_of_photos(tmp_path_factory.mktemp("photos"), size=(32, 32))


@pytest.mark.parametrize("model", small_models.EACH)
def test_every_model_is_converted_to_every_format(photos, model):
    network = small_models.build(small_models.make_settings(model), photos.data.shape, classes=2)
    write_model(photos, model_file.make_plain_model(network), resize="pad")
    found = export.export(photos, formats=["saved_model", *NAMES])
    assert [each.format for each in found] == ["saved_model", *NAMES]
    assert max(each.largest_difference for each in found) < 1e-4
