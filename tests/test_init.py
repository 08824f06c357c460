"""The command `init`: an experiment that fits a folder of images, and recipes."""

import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from experiments import command, json_of
from PIL import Image
from source_code import ROOT

from imgcls.experiment_file import read_experiment
from imgcls.rehearsal import recipes


def save_images(folder, classes, *, size=(30, 40), mode="RGB", count=6):
    """Write images, of (width, height), in a folder for each class."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = numpy.full((size[1], size[0], 3), 20 * index + 1, numpy.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{index}.png")


def test_a_folder_gets_an_experiment_that_fits_and_can_be_prepared(workspace):
    save_images(Path("my photos"), ["café", "dog"])
    exit_code, stdout, stderr = command("init", "my photos")
    assert (exit_code, stderr) == (0, "")
    assert stdout == "wrote my_photos.yaml\n\nnext: imgcls run my_photos.yaml\n"
    text = Path("my_photos.yaml").read_text()
    assert "# 12 images, RGB, 40 to 40 high and 30 to 30 wide; from 6 of class" in text
    assert text.splitlines()[2] == "# Run: imgcls run my_photos.yaml"
    experiment = read_experiment(Path("my_photos.yaml"))
    assert (experiment.name, experiment.data.path) == ("my_photos", "my photos")
    assert (experiment.data.size, experiment.data.validation) == ([40, 30], 0.15)
    assert command("prepare", "my_photos.yaml")[0] == 0


def test_gray_images_are_not_mirrored_and_rare_classes_are_weighted(workspace):
    save_images(Path("digits"), ["1"], mode="L", count=9)
    save_images(Path("digits"), ["7"], mode="L", count=2)
    command("init", "digits")
    text = Path("digits.yaml").read_text()
    experiment = read_experiment(Path("digits.yaml"))
    assert "11 images, gray" in text
    assert [each.name for each in experiment.augment] == ["random_crop"]
    assert experiment.train.class_weights == "balanced"


def test_splits_of_the_source_are_left_alone(workspace):
    for split in ("train", "test"):
        save_images(Path("photos", split), ["a", "b"], size=(300, 200))
    command("init", "photos", "--output", "new/first.yaml")
    text = Path("new/first.yaml").read_text()
    assert "  # test: the source has its own, of 12 images" in text
    assert "  validation: 15%" in text
    assert read_experiment(Path("new/first.yaml")).data.size == [224, 224]


@pytest.mark.parametrize("given", ["photos", "photos/labels.csv"])
def test_a_list_is_read_as_one_also_if_it_lies_in_the_folder(workspace, given):
    save_images(Path("photos"), ["images"])
    rows = [f"images/{index}.png,{'ab'[index % 2]}" for index in range(6)]
    Path("photos/labels.csv").write_text("\n".join(["path,label", *rows]))
    (path,) = json_of("init", given)
    data = read_experiment(Path(path)).data
    assert (data.name, data.path) == ("manifest", "photos/labels.csv")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give the folder of your images, a list of them (CSV), or --recipe with one"),
        (["photos", "--recipe", "digits"], 2, "give the folder of your images"),
        (["--recipe", "digit"], 2, "there is no such recipe"),
        (["nowhere"], 3, "nowhere"),
        (["empty"], 3, "empty holds no class folders"),
    ],
)  # fmt: skip
def test_what_cannot_be_drafted_leaves_no_file(workspace, arguments, code, message):
    Path("empty").mkdir()
    exit_code, stdout, stderr = command("init", *arguments)
    assert (exit_code, stdout) == (code, "")
    assert message in stderr
    assert list(Path().glob("*.yaml")) == []


def test_a_file_that_exists_is_not_replaced(workspace):
    Path("digits.yaml").write_text("mine")
    exit_code, _, stderr = command("init", "--recipe", "digits")
    assert (exit_code, Path("digits.yaml").read_text()) == (2, "mine")
    assert "digits.yaml exists; remove it, or choose another file with --output" in stderr


@pytest.mark.parametrize("name", recipes.list_recipes())
def test_a_recipe_is_written_with_what_it_extends(workspace, name):
    written = [Path(path) for path in json_of("init", "--recipe", name)]
    assert written[0] == Path(f"{name}.yaml")
    assert read_experiment(written[0]) == read_experiment(ROOT / "configs" / f"{name}.yaml")
    assert f"imgcls train {name}.yaml" in written[0].read_text()


def test_the_package_holds_the_recipes_and_the_table_of_words(tmp_path):
    """Takes two seconds: setuptools copies the packages as it does for a wheel."""
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    copied = {path.stem for path in (tmp_path / "imgcls" / "recipes").glob("*.yaml")}
    assert copied == set(recipes.list_recipes())
    assert (tmp_path / "imgcls" / "foreign_words.yaml").exists()
