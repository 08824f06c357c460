"""Test-time augmentation: numbers beside the plain ones, which gates and comparisons still use."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from experiments import TINY, command, json_of, write_experiment
from sklearn.metrics import accuracy_score, log_loss

from imgcls.backend import keras
from imgcls.evaluation import predictions, tta
from imgcls.evaluation.tta import METHODS, PLAIN, View
from imgcls.run import Run
from imgcls.store import lookup

ALL = "evaluate.tta=[flip,shift,flip_shift]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with prepared digits and a run, which is evaluated on its test split."""
    folder = tmp_path_factory.mktemp("tta")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        optimizer = {"name": "adam", "learning_rate": 0.01}
        train = {**TINY["train"], "epochs": 4, "optimizer": optimizer}
        settings = {"bootstrap_samples": 100, "intervals": ["accuracy", "log_loss"]}
        write_experiment(folder, {**TINY, "train": train, "evaluate": settings})
        json_of("prepare", "experiment.yaml")
        json_of("train", "experiment.yaml", "--run", "run")
        json_of("eval", "run")
    return folder


def read_digits(run):
    """Return the test images of a run, and its model's probabilities of any images."""
    store, split = lookup.open_run_store(run.data, "data")
    model = keras.models.load_model(run.model_file, compile=False)
    images = store.open_reader(split.geometry).read(split.get_indices("test"))
    return images, lambda batch: model.predict(numpy.ascontiguousarray(batch), verbose=0)


def shift_by_hand(image, rows, columns):
    """Return an image of 8x8 moved down and to the right, with what comes in reflected."""
    height, width = image.shape[:2]
    moved = numpy.empty_like(image)
    for i in range(height):
        for j in range(width):
            y, x = abs(i - rows), abs(j - columns)
            y = y if y < height else 2 * (height - 1) - y
            x = x if x < width else 2 * (width - 1) - x
            moved[i, j] = image[y, x]
    return moved


@pytest.mark.parametrize(("view", "move"), [(View(shift=-1), -1), (View(shift=1), 1)])
def test_a_shift_moves_small_images_by_one_pixel_and_reflects_the_edge(view, move):
    images = numpy.random.default_rng(0).integers(0, 256, (3, 8, 9, 2)).astype(numpy.uint8)
    expected = [shift_by_hand(image, move, move) for image in images]
    assert numpy.array_equal(tta.show(images, view), expected)


def test_the_shift_grows_with_the_image():
    image = numpy.arange(224 * 96).reshape(1, 224, 96, 1)
    moved = tta.show(image, View(shift=1))
    assert numpy.array_equal(moved[:, 7:, 3:], image[:, :-7, :-3])


def test_an_image_of_one_pixel_has_all_views():
    image = numpy.full((1, 1, 1, 1), 7, numpy.uint8)
    assert all(tta.show(image, view) == 7 for view in METHODS["flip_shift"])


@pytest.mark.parametrize("method", METHODS)
def test_the_views_of_a_method_have_weights_that_add_up_to_one(method):
    assert sum(METHODS[method].values()) == 1
    assert PLAIN in METHODS[method]
    assert len(METHODS[method]) == {"flip": 2, "shift": 3, "flip_shift": 6}[method]


def test_eval_saves_the_averages_that_keras_gives_and_measures_them(copied):
    run = Run(Path("run"))
    found = json_of("eval", "run", "--set", ALL)
    images, predict = read_digits(run)
    up = predict([shift_by_hand(image, -1, -1) for image in images])
    down = predict([shift_by_hand(image, 1, 1) for image in images])
    expected = {
        "flip": (predict(images) + predict(images[:, :, ::-1])) / 2,
        "shift": predict(images) / 2 + (up + down) / 4,
    }
    for method, probabilities in expected.items():
        saved = predictions.load(run, "test", method)
        assert saved.probabilities == pytest.approx(probabilities, abs=1e-6)
        metrics = found["tta"][method]["metrics"]
        assert metrics["accuracy"] == accuracy_score(saved.labels, probabilities.argmax(axis=1))
        assert metrics["log_loss"] == pytest.approx(log_loss(saved.labels, probabilities), abs=1e-6)
    assert [each["views"] for each in found["tta"].values()] == [2, 3, 6]


def test_the_plain_numbers_are_those_without_test_time_augmentation(copied):
    plain, saved = json_of("eval", "run"), Run(Path("run")).predictions_file("test").read_bytes()
    with_tta = json_of("eval", "run", "--set", ALL)
    assert plain["tta"] == {}
    assert {**with_tta, "tta": {}} == plain
    assert Run(Path("run")).predictions_file("test").read_bytes() == saved


def test_the_intervals_are_of_the_averages_and_the_report_has_both(copied):
    found = json_of("eval", "run", "--set", ALL)
    for each in found["tta"].values():
        low, high = each["intervals"]["accuracy"]
        assert low < each["metrics"]["accuracy"] < high
        assert each["wilson_intervals"]["accuracy"][0] < each["metrics"]["accuracy"]
    report = Run(Path("run")).report_file("test").read_text()
    assert "with test-time augmentation: flip (2 views), shift (3 views), flip_shift" in report
    value = f"{found['tta']['flip']['metrics']['accuracy']:.4f}"
    line = next(
        line for line in report.splitlines() if line.startswith("accuracy") and value in line
    )
    assert f"{found['metrics']['accuracy']:.4f}" in line


def test_metrics_with_thresholds_from_validation_are_left_out(copied):
    found = json_of("eval", "run", "--set", "evaluate.tta=[flip]")
    left_out = found["metrics"].keys() - found["tta"]["flip"]["metrics"].keys()
    assert "selective_coverage" in left_out
    assert "lac_coverage" in left_out
    assert "accuracy" not in left_out


def test_saved_averages_are_measured_again_without_the_store(copied):
    found = json_of("eval", "run", "--set", ALL)
    shutil.rmtree("data")
    assert json_of("eval", "run", "--set", ALL) == found


def test_averages_of_another_model_are_made_again(copied):
    run = Run(Path("run"))
    json_of("eval", "run", "--set", "evaluate.tta=[flip]")
    path = run.predictions_file("test", "flip")
    good, saved = path.read_bytes(), predictions.load(run, "test", "flip")
    uniform = numpy.full_like(saved.probabilities, 0.1)
    predictions.save(replace(saved, probabilities=uniform, model="another"), path)
    json_of("eval", "run", "--set", "evaluate.tta=[flip]")
    assert path.read_bytes() == good


def test_a_gate_is_about_the_plain_accuracy(copied):
    found = json_of("eval", "run", "--set", "evaluate.tta=[flip]")
    plain, flipped = found["metrics"]["accuracy"], found["tta"]["flip"]["metrics"]["accuracy"]
    assert flipped < plain  # a digit is not its mirror image
    gate = f"accuracy={(plain + flipped) / 2}"
    assert command("eval", "run", "--set", "evaluate.tta=[flip]", "--fail-under", gate)[0] == 0
    gate = f"accuracy={plain + 0.001}"
    assert command("eval", "run", "--set", "evaluate.tta=[flip]", "--fail-under", gate)[0] == 6


def test_a_comparison_does_not_depend_on_averages(copied):
    shutil.copytree("run", "other")
    before = json_of("compare", "run", "other", "--output", "before")
    json_of("eval", "other", "--set", ALL)
    after = json_of("compare", "run", "other", "--output", "after")
    assert before["comparisons"] == after["comparisons"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[flip,flip]", "lists a method twice; got flip, flip"),
        ("[rotate]", "'flip', 'shift' or 'flip_shift'"),
    ],
)
def test_a_wrong_list_of_methods_is_an_error(copied, value, problem):
    exit_code, _, stderr = command("eval", "run", "--set", f"evaluate.tta={value}")
    assert exit_code == 2
    assert problem in stderr
    assert "evaluate.tta" in stderr


def test_the_page_has_the_numbers_too(copied):
    found = json_of("eval", "run", "--set", "evaluate.tta=[flip]")
    json_of("plot", "run", "confusion_matrix")
    page = Run(Path("run")).report_page.read_text()
    assert "with test-time augmentation: flip (2 views)" in page
    assert f"{found['tta']['flip']['metrics']['accuracy']:.4f}" in page
    assert json.loads(Run(Path("run")).metrics_file("test").read_text()) == found
