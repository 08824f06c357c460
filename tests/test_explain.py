"""`imgcls explain`: what it writes and prints, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy
import pytest
from experiments import RICH, command, json_of
from exportable_run import list_files, make_run
from PIL import Image

from imgcls.errors import Interrupted
from imgcls.evaluation import predictions
from imgcls.explanation.folder import FILES, get_explanation_folder
from imgcls.explanation.record import Importance, MapArrays, MethodScores
from imgcls.io import files
from imgcls.io.array_records import read_arrays
from imgcls.io.records import read_record
from imgcls.run import Run
from imgcls.verbs import explain, train

FEW = ("--set", "explain.images=10", "--set", "explain.importance_images=20")
IG = ("--method", "integrated_gradients", "--set", "explain.methods.0.steps=4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run on digits."""
    folder = tmp_path_factory.mktemp("explained")
    make_run(folder)
    return folder


@pytest.fixture
def run(copied) -> Run:
    """The run, in the current folder."""
    return Run(Path("run"))


@pytest.fixture(scope="module")
def explained(trained, tmp_path_factory):
    """What the command returned for a copy of the run, whose test split is explained, and it."""
    copy = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(trained / "run", copy)
    return json_of("explain", copy, "--split", "test", *FEW, *IG), Run(copy)


def save_images(run: Run, count: int = 2) -> list[str]:
    """Write images of the size of a run's model; return their paths."""
    random = numpy.random.default_rng(0)
    paths = [f"{number}.png" for number in range(count)]
    for path in paths:
        pixels = random.integers(0, 256, run.data.shape[:2], numpy.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def read_maps(run: Run, name: str, method: str) -> MapArrays:
    """Return the maps of a method."""
    folder = get_explanation_folder(run, name).method_folder(method)
    return read_arrays(folder.maps_file, MapArrays, "explain again")


def test_a_split_gets_maps_scores_figures_and_the_importance_of_features(explained):
    found, run = explained
    folder = get_explanation_folder(run, "test")
    names = ["maps.npz", "regions.png", "scores.json", "scores.png", "sheet.png"]
    assert list_files(folder.folder) == [
        "importance.json",
        "importance.png",
        "integrated_gradients",
        *[f"integrated_gradients/{name}" for name in names],
    ]
    scores = read_record(folder.method_folder("integrated_gradients").scores_file, MethodScores, "")
    assert found["methods"] == [json.loads(scores.model_dump_json())]
    assert scores.settings == {"steps": 4}
    assert scores.model == files.compute_sha256(run.model_file)
    importance = read_record(folder.importance_file, Importance, "")
    assert (importance.images, importance.permutations) == (20, 3)
    assert sum(each.place is not None for each in importance.features) == 16
    assert (found["run"], found["name"]) == (str(run.folder), "test")


def test_maps_are_of_the_images_that_are_listed_with_their_predictions(explained):
    found, run = explained
    maps = read_maps(run, "test", "integrated_gradients")
    assert maps.maps.shape == (10, 8, 8)
    listed = [
        (each["id"], each["predicted"], each["label"], each["probability"])
        for each in found["images"]
    ]
    classes, probabilities = maps.classes.tolist(), maps.probabilities.astype(float).tolist()
    stored = zip(maps.ids.tolist(), maps.explained, maps.labels, probabilities, strict=True)
    expected = [(id_, classes[one], classes[two], value) for id_, one, two, value in stored]
    assert [each[:3] for each in listed] == [each[:3] for each in expected]
    numpy.testing.assert_allclose([each[3] for each in listed], probabilities, atol=1e-6)
    deletion = found["methods"][0]["deletion"]
    assert deletion["area"] == pytest.approx(maps.deletion.mean(), abs=1e-6)
    assert deletion["gain"] == pytest.approx(
        (maps.random_deletion - maps.deletion).mean(), abs=1e-6
    )
    json_of("eval", run.folder, "--split", "test")
    evaluated = predictions.load(run, "test")
    rows = [evaluated.ids.index(id_) for id_ in maps.ids.tolist()]
    assert evaluated.predicted[rows].tolist() == maps.explained.tolist()
    numpy.testing.assert_allclose(
        evaluated.probabilities[rows].max(axis=1), maps.probabilities, atol=1e-4
    )


def test_the_same_command_gives_the_same_bytes(run, explained):
    json_of("explain", "run", "--split", "test", *FEW, *IG)
    one, other = (get_explanation_folder(each, "test").folder for each in (run, explained[1]))
    assert list_files(one) == list_files(other)
    for name in list_files(one):
        if (one / name).is_file():
            assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_the_importance_is_measured_once_for_several_methods(run, explained, monkeypatch):
    from imgcls.explanation import importance

    shutil.copytree(explained[1].explanations_folder, run.explanations_folder)
    monkeypatch.delattr(importance, "measure")
    found = json_of("explain", "run", "--split", "test", *FEW, "--method", "occlusion")
    assert found["importance"] == explained[0]["importance"]
    folder = get_explanation_folder(run, "test")
    assert folder.method_folder("integrated_gradients").scores_file.exists()
    assert folder.method_folder("occlusion").scores_file.exists()


def test_files_are_explained_without_labels_and_without_importance(run):
    paths = save_images(run)
    found = json_of("explain", "run", *paths, *IG)
    assert [each["id"] for each in found["images"]] == paths
    assert [each["label"] for each in found["images"]] == [None, None]
    assert found["importance"] is None
    maps = read_maps(run, FILES, "integrated_gradients")
    assert maps.labels is None
    assert maps.region_maps is None
    assert "2 images are too few to say" in found["methods"][0]["finding"]
    assert not get_explanation_folder(run, FILES).importance_file.exists()
    predicted = json_of("predict", "run", *paths)["predictions"]
    assert [each["class"] for each in predicted] == [each["predicted"] for each in found["images"]]


def test_a_report_has_the_scores_the_advice_and_what_carries_the_accuracy(run):
    exit_code, stdout, _ = command("explain", "run", *FEW, *IG, "--method", "occlusion")
    assert exit_code == 0
    assert "run: 10 images of the validation split" in stdout
    for said in ("Occlusion: ", "Integrated gradients: ", "region 1, 1", "frequencies above 0.25"):
        assert said in stdout
    assert max(map(len, stdout.splitlines())) <= 80


def test_images_that_cannot_be_read_are_named_and_the_others_explained(run):
    Path("text.png").write_text("not an image")
    paths = save_images(run, 1)
    exit_code, _, stderr = command("explain", "run", *paths, "text.png", "missing.png", *IG)
    assert exit_code == 3
    assert "2 of 3 images could not be read, and are not explained" in stderr
    assert "text.png: damaged, or not a PNG" in stderr
    assert read_maps(run, FILES, "integrated_gradients").ids.tolist() == paths
    exit_code, stdout, stderr = command("explain", "run", "text.png", *IG)
    assert (exit_code, stdout) == (3, "")
    assert "no image could be read" in stderr


def test_of_many_files_some_are_chosen_with_a_note(run):
    save_images(run, 5)
    arguments = ["explain", "run", "*.png", "--set", "explain.images=2", *IG, "--json"]
    _, stdout, stderr = command(*arguments)
    assert len(json.loads(stdout)["images"]) == 2
    assert "explaining 2 of 5 images" in stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--method", "grad_kam"], 2, "did you mean 'grad_cam'"),
        (["--split", "tset"], 2, "did you mean 'test'"),
        (["a.png", "--split", "test"], 2, "give either image files or --split, not both"),
        (["--set", "train.epochs=9"], 2, "set evaluate, figures, explain,"),
        (["--method", "occlusion", "--method", "occlusion"], 2, "occlusion more than once"),
        (["--method", "grad_cam", "--set", "explain.methods.0.layer=x"], 2, "layer is 'x'"),
        (["--set", "explain.images=0"], 2, "explain.images"),
    ],
)
def test_a_wrong_command_line_is_explained(run, arguments, exit_code, message):
    found, stdout, stderr = command("explain", "run", *arguments)
    assert (found, stdout) == (exit_code, "")
    assert message in stderr
    assert "Traceback" not in stderr


def test_a_split_without_images_is_refused(run):
    data = json.loads(run.data_file.read_text())
    data["sizes"]["validation"] = 0
    data["class_counts"]["validation"] = [0] * 10
    run.data_file.write_text(json.dumps(data))
    exit_code, _, stderr = command("explain", "run")
    assert exit_code == 2
    assert "the validation split of run has no images; choose one that has: train, test" in stderr


def test_a_run_that_is_not_finished_is_refused(run):
    run.write_status("interrupted", step=1)
    exit_code, _, stderr = command("explain", "run")
    assert exit_code == 3
    assert "run is interrupted, not finished; run `imgcls train" in stderr


def test_a_quantized_run_is_refused_with_the_reason(run):
    run.litert_file.touch()
    exit_code, _, stderr = command("explain", "run")
    assert exit_code == 2
    assert "has no gradients and no layers to look into; explain the run that it was made" in stderr


def test_a_run_that_was_interrupted_and_resumed_is_explained(digits):
    settings = digits(*RICH, "explain.images=4", "explain.importance_images=4")
    run = Run(Path("resumed"))
    with pytest.raises(Interrupted):
        train.train(settings, run.folder, epochs=1)
    train.train(settings, run.folder)
    found = explain.explain(run, settings)
    assert [each.method for each in found.methods] == ["grad_cam", "integrated_gradients"]
    for each in found.methods:
        assert read_maps(run, "validation", each.method).maps.any()


def test_a_damaged_importance_is_measured_again_with_a_note(run):
    folder = get_explanation_folder(run, "validation")
    folder.folder.mkdir(parents=True)
    folder.importance_file.write_text('{"model": ')
    exit_code, stdout, stderr = command("explain", "run", *FEW, *IG, "--json")
    assert exit_code == 0
    assert "not used: " in stderr
    saved = read_record(folder.importance_file, Importance, "")
    assert json.loads(stdout)["importance"] == json.loads(saved.model_dump_json())
