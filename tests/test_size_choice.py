"""The default size is a choice, so `prepare` says what it does to the images of a source."""

import re

import numpy
import pytest
import yaml
from experiments import command
from PIL import Image

from imgcls.image import decode, size_choice
from imgcls.image.decode import Geometry
from imgcls.verbs import prepare as prepare_verb

EXPERIMENT = {
    "name": "photos",
    "data": {"name": "folder", "path": "photos"},
    "model": {"name": "cnn", "filters": [4], "dense": [8]},
}


def describe(sizes):
    return size_choice.describe_sizes(*numpy.array(sizes).T)


def test_range_median_and_most_common_size_are_told():
    assert describe([(20, 30), (48, 64), (48, 64), (80, 60)]) == (
        "4 images with heights of 20 to 80 and widths of 30 to 64, median 48x62, most often 48x64"
        " (2)"
    )
    assert describe([(20, 30), (48, 64), (81, 60)]) == (
        "3 images with heights of 20 to 81 and widths of 30 to 64, median 48x60"
    )
    assert describe([(28, 28)] * 3) == "3 images of 28x28"
    assert describe([(28, 30)]) == "1 image of 28x30"


@pytest.mark.parametrize(
    ("size", "resize", "text"),
    [
        ((480, 640), "pad", "becomes 48x64, with bars over 25 % of the area"),
        ((640, 480), "pad", "becomes 64x48, with bars over 25 % of the area"),
        ((640, 640), "pad", "becomes 64x64, without bars"),
        ((64, 64), "pad", "stays as it is"),
        ((28, 28), "pad", "becomes 64x64, enlarged 2.3 times, without bars"),
        ((16, 32), "pad", "becomes 32x64, enlarged 2.0 times, with bars over 50 % of the area"),
        ((480, 640), "crop", "becomes 64x64, with 25 % of its area cut off"),
        ((16, 32), "crop", "becomes 64x64, enlarged 4.0 times, with 50 % of its area cut off"),
        ((640, 640), "crop", "becomes 64x64, with nothing cut off"),
        ((480, 640), "stretch", "becomes 64x64, its height stretched 1.33 times as much as its"),
        ((640, 480), "stretch", "becomes 64x64, its width stretched 1.33 times as much as its"),
        ((320, 320), "stretch", "becomes 64x64, with the same aspect ratio"),
    ],
)
def test_what_becomes_of_an_image_is_told(size, resize, text):
    assert size_choice.describe_resizing(*size, Geometry((64, 64, 3), resize)).startswith(text)


@pytest.mark.parametrize("size", [(480, 640), (7, 90), (90, 7), (33, 32)])
def test_the_bars_are_those_of_the_resized_image(size):
    geometry = Geometry((40, 60, 1), "pad")
    pixels = decode.fit_to_size(Image.new("L", size[::-1], 255), geometry)
    text = size_choice.describe_resizing(*size, geometry)
    told = re.search(r"bars over (\d+) %", text)
    assert int(told[1] if told else 0) == round(100 * (pixels == 0).mean())
    rows, columns = (pixels[..., 0] > 0).any(1).sum(), (pixels[..., 0] > 0).any(0).sum()
    assert f"becomes {rows}x{columns}" in text


def test_the_median_is_of_heights_and_widths_and_each_image_if_all_are_alike():
    geometry = Geometry((64, 64, 3), "pad")
    sizes = numpy.array([(20, 30), (40, 80), (60, 90)])
    assert size_choice.describe_median(*sizes.T, geometry) == (
        "an image of the median size becomes 32x64, with bars over 50 % of the area"
    )
    assert size_choice.describe_median(*sizes[[1, 1]].T, geometry).startswith("each becomes 32x64")


@pytest.fixture
def photos(workspace):
    """Twelve photos of each of two classes, twice as wide as high, two of them upright."""
    random = numpy.random.default_rng(0)
    for name in ("cat", "dog"):
        (workspace / "photos" / name).mkdir(parents=True)
        for number in range(12):
            shape = (20, 40, 3) if number else (40, 20, 3)
            pixels = random.integers(0, 256, shape, dtype=numpy.uint8)
            Image.fromarray(pixels).save(workspace / "photos" / name / f"{number}.png")
    (workspace / "photos.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    return workspace


@pytest.mark.parametrize("storage", ["pixels", "encoded"])
def test_prepare_prints_the_choice_of_size_each_time(photos, storage):
    for _ in range(2):  # the second time the store exists
        exit_code, stdout, stderr = command(
            "prepare", "photos.yaml", "--set", f"data.storage={storage}"
        )
        assert exit_code == 0
        assert (
            "note: data.size is not given, so that images become 64x64 (height x width, resize:"
            " pad); the source holds 24 images with heights of 20 to 40 and widths of 20 to 40,"
            " median 20x40, most often 20x40 (22); an image of the median size becomes 32x64,"
            " enlarged 1.6 times, with bars over 50 % of the area; to choose, set data.size\n"
        ) in stderr
        assert "data.size" not in stdout


def test_a_size_that_the_user_gives_is_not_commented(photos):
    given = {**EXPERIMENT, "extends": "photos.yaml", "data": {"size": [64, 64]}}
    (photos / "given.yaml").write_text(yaml.safe_dump(given))
    for arguments in (["photos.yaml", "--set", "data.size=[64, 64]"], ["given.yaml"]):
        exit_code, _, stderr = command("prepare", *arguments)
        assert exit_code == 0
        assert "data.size is not given" not in stderr


def test_the_size_in_the_resolved_experiment_of_a_run_counts_as_given(photos):
    experiment = prepare_verb.Experiment.model_validate(EXPERIMENT)
    (photos / "config.yaml").write_text(experiment.to_yaml())
    assert command("prepare", "photos.yaml")[2].count("data.size is not given") == 1
    assert "data.size is not given" not in command("prepare", "config.yaml")[2]


def test_data_sets_with_a_size_of_their_own_have_no_choice(workspace):
    (workspace / "digits.yaml").write_text(
        yaml.safe_dump({**EXPERIMENT, "data": {"name": "digits"}})
    )
    exit_code, _, stderr = command("prepare", "digits.yaml")
    assert exit_code == 0
    assert "data.size" not in stderr
