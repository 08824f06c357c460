"""`imgcls.load`, the features that `predict` writes, and Parquet."""

import io
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from experiments import command
from PIL import Image
from predicted_runs import SIZE, make_run, predict_lines
from test_docs import ROOT, find_blocks

import imgcls
from imgcls.errors import UserError
from imgcls.prediction import parquet
from imgcls.prediction.inputs import Input
from imgcls.run import Run
from imgcls.training.model_weights import read_weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run on photos."""
    folder = tmp_path_factory.mktemp("load")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_run(Path(), resize="crop", channels=3)
    return folder


@pytest.fixture(scope="module")
def model(trained):
    """The loaded model."""
    loaded = imgcls.load(trained / "run")
    yield loaded
    loaded.close()


def list_photos() -> list[str]:
    return sorted(str(path) for path in Path("photos").rglob("*.*"))


def test_importing_imgcls_imports_nothing_heavy():
    program = "import sys, imgcls; print({'numpy', 'tensorflow', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_the_program_of_the_page_runs(copied, capsys):
    (program,) = find_blocks(ROOT / "docs" / "predicting.md", "python")
    Path("photos/3.png").write_bytes(Path("photos/b/gray.png").read_bytes())
    exec(program.replace("runs/digits/1", "run"), {})
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "photos/3.png"
    assert second == "photos/missing.png None cannot be read: No such file or directory"
    assert rest[0].startswith("['a', 'b'] (13, 16, 3) [[0.")
    assert rest[-1].split() == ["[", "nan", "nan]]"]


def test_paths_are_predicted_as_by_the_command(copied, model):
    paths = [*list_photos()[:3], "missing.png", *list_photos()[3:]]
    result = model.predict([Path(path) for path in paths])
    lines = predict_lines("run", *paths, "--probabilities", exit_code=3)
    assert result.ids == [line["path"] for line in lines] == paths
    assert result.classes == model.classes == ["a", "b"]
    assert result.predicted == [line.get("class") for line in lines]
    assert result.errors == [line.get("error") for line in lines]
    expected = [
        list(line.get("probabilities", {"a": "nan", "b": "nan"}).values()) for line in lines
    ]
    numpy.testing.assert_array_equal(result.probabilities, numpy.float32(expected))
    assert result.probabilities.dtype == numpy.float32


def make_arrays(count=20, seed=0):
    generator = numpy.random.default_rng(seed)
    sizes = generator.integers(5, 40, (count, 2))
    return [generator.integers(0, 256, (*size, 3), numpy.uint8) for size in sizes]


def test_arrays_are_predicted_as_png_files_with_these_pixels(copied, model):
    arrays = make_arrays()
    for number, pixels in enumerate(arrays):
        Image.fromarray(pixels).save(f"{number:02d}.png")
    files = model.predict(sorted(map(str, Path().glob("*.png"))))
    result = model.predict(arrays)
    assert result.ids == list(map(str, range(20)))
    assert result.errors == [None] * 20
    numpy.testing.assert_array_equal(result.probabilities, files.probabilities)


def test_one_array_of_images_of_the_models_size_goes_in_as_it_is(trained, model):
    from imgcls.backend import keras

    images = numpy.random.default_rng(0).integers(0, 256, (11, *SIZE, 3), numpy.uint8)
    expected = keras.models.load_model(trained / "run" / "model.keras").predict(images, verbose=0)
    assert model.shape == (*SIZE, 3)
    numpy.testing.assert_allclose(model.predict(images).probabilities, expected, atol=1e-6)


WRONG = {
    "float": (numpy.zeros((2, 13, 16, 3), numpy.float32), "image 0 is an array of float32; give"),
    "wide integers": ([numpy.zeros((13, 16, 3), numpy.int64)], "image 0 is an array of int64"),
    "gray": ([numpy.zeros((13, 16), numpy.uint8)], "has 1 channels, in the shape (13, 16, 1), but"),
    "four channels": (numpy.zeros((2, 13, 16, 4), numpy.uint8), "this model's images have 3"),
    "one image": (numpy.zeros((13, 16, 3), numpy.uint8), "channels"),
    "empty": ([numpy.zeros((0, 16, 3), numpy.uint8)], "has the shape (0, 16, 3); give (height,"),
    "a number": ([numpy.uint8(3)], "has the shape (); give"),
    "a path and an array": (["a.png", numpy.zeros((13, 16, 3), numpy.uint8)], "either"),
    "one path": ("photos", "give a list"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_other_arrays_are_refused_with_the_reason(model, wrong):
    images, message = WRONG[wrong]
    with pytest.raises(UserError) as caught:
        model.predict(images)
    assert message in str(caught.value)


def test_no_images_give_no_rows(model):
    assert model.predict([]).probabilities.shape == (0, 2)


def test_what_is_not_a_run_is_an_error(copied):
    with pytest.raises(UserError, match="photos is not a run"):
        imgcls.load("photos")
    with pytest.raises(UserError, match="batch_size must be at least 1; got 0"):
        imgcls.load("run", batch_size=0)


def test_memory_that_runs_out_in_the_first_batch_gives_smaller_batches(copied, monkeypatch, capsys):
    from imgcls.backend import tf
    from imgcls.evaluation.compiled_model import CompiledModel

    predict = CompiledModel.predict
    paths, sizes = list_photos(), []

    def fail_with_large_batches(self, images):
        sizes.append(len(images))
        if len(images) > 3:
            raise tf.errors.ResourceExhaustedError(None, None, "too many")
        return predict(self, images)

    expected = imgcls.load("run", batch_size=2).predict(paths).probabilities
    monkeypatch.setattr(CompiledModel, "predict", fail_with_large_batches)
    result = imgcls.load("run", batch_size=8).predict(paths)
    assert "out of memory; predicting in batches of 2" in capsys.readouterr().err
    assert sizes == [8, 4, *[2] * (len(paths) // 2), *[1] * (len(paths) % 2)]
    numpy.testing.assert_array_equal(result.probabilities, expected)


def compute_probabilities(features: numpy.ndarray, run: Run) -> numpy.ndarray:
    """Return what the last dense layer, the temperature 1.5 and the softmax make of features."""
    weights = read_weights(run.model_file)
    kernel = next(array for array in weights.values() if array.shape == (features.shape[1], 2))
    logits = features.astype(float) @ kernel / 1.5  # the bias is 0 before any training
    exponentials = numpy.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_features_are_what_enters_the_last_dense_layer_and_change_no_bit(copied):
    options = ["photos", "missing.png", "--probabilities"]
    plain = predict_lines("run", *options, exit_code=3)
    lines = predict_lines("run", *options, "--features", "f.npz", exit_code=3)
    assert lines == plain
    with numpy.load("f.npz") as found:
        features, paths = found["features"], found["paths"]
    assert paths.tolist() == [line["path"] for line in lines[:-1]]
    assert features.dtype == numpy.float32
    assert features.shape == (23, 11 * 14 * 8)
    expected = [list(line["probabilities"].values()) for line in lines[:-1]]
    found = compute_probabilities(features, Run(Path("run")))
    numpy.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_any_image_that_can_be_read_the_features_are_empty(copied):
    assert command("predict", "run", "missing.png", "--features", "f.npz")[0] == 3
    with numpy.load("f.npz") as found:
        assert found["features"].shape == (0, 11 * 14 * 8)
        assert found["paths"].shape == (0,)


def test_bytes_of_a_path_that_are_not_utf_8_are_escaped_in_parquet():
    assert parquet.escape("a\udcff/ü") == "a\\udcff/ü"


def test_parquet_without_pyarrow_is_an_error_with_the_pip_line(copied, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for options in (["--output", "rows.parquet"], ["--features", "f.parquet"]):
        exit_code, _, stderr = command("predict", "run", "photos", *options)
        assert exit_code == 2
        assert "run: pip install 'imgcls[parquet]'" in stderr
    assert not list(Path().glob("*.parquet"))


@pytest.mark.extras
def test_parquet_has_the_columns_of_csv_and_the_features(copied):
    import pyarrow.parquet

    Path("photos/b/gray.png").rename("photos/b/\udcff.png")
    options = ["photos", "missing.png", "--top-k", "2", "--coverage", "0.5", "--threshold", "0.6"]
    lines = predict_lines("run", *options, "--probabilities", exit_code=3)
    files = ["--output", "rows.parquet", "--features", "f.parquet"]
    assert command("predict", "run", *options, "--probabilities", *files)[0] == 3
    rows = pyarrow.parquet.read_table("rows.parquet").to_pylist()
    assert [row["path"] for row in rows] == [parquet.escape(line["path"]) for line in lines]
    for row, line in zip(rows[:-1], lines[:-1], strict=True):
        assert numpy.float32(row["probability:b"]) == numpy.float32(line["probabilities"]["b"])
        assert row["class_2"] == line["top"][1]["class"]
        assert (row["accepted"], row["prediction_set"]) == (
            line["accepted"],
            line["prediction_set"],
        )
    assert rows[-1]["class"] is None
    assert rows[-1]["error"] == lines[-1]["error"]
    predict_lines("run", *options, "--features", "f.npz", exit_code=3)
    table = pyarrow.parquet.read_table("f.parquet").to_pydict()
    assert table["path"] == [row["path"] for row in rows[:-1]]
    with numpy.load(io.BytesIO(Path("f.npz").read_bytes())) as found:
        numpy.testing.assert_array_equal(numpy.float32(table["features"]), found["features"])


def test_images_with_other_channels_cannot_come_from_files(copied, model, monkeypatch):
    monkeypatch.setattr(model, "shape", (*SIZE, 2))
    with pytest.raises(UserError, match="images have 2 channels, but image files are decoded to"):
        list(model.predict_files([Input("a.png")]))
