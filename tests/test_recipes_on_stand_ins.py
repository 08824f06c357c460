"""The recipes for data that does not come with imgcls, typed as in their headers, on a stand-in for
it: a few images in the published layout, of the right shapes.

Only what a few images and a machine without GPUs need is changed. The precision is float32: without
AVX512-BF16, a CPU takes 16 times as long for the gradient of a convolution in bfloat16.
"""

import io
import itertools
from pathlib import Path

import numpy
import pytest
from experiments import json_of
from PIL import Image
from sklearn.datasets import load_sample_images
from test_cifar import record, write
from test_docs import ROOT
from test_imagenet import TRUTH, WNIDS, flat, packed, put

from imgcls import parts
from imgcls.experiment_file import read_experiment
from imgcls.run import Run

GENERATOR = numpy.random.default_rng(0)
PHOTOS = [Image.fromarray(each) for each in load_sample_images().images]
"""A temple and a flower, of 427x640 pixels."""
PARAMETERS_OF_RESNET50 = 25_557_032 - 2_049_000
"""Those of torchvision's ResNet-50, without its last layer for 1,000 classes."""


def get_config(recipe):
    return ROOT / "configs" / f"{recipe}.yaml"


def run_recipe(recipe, folder, *overrides):
    """Type the four commands of a recipe.

    Returns:
        What `train --dry-run` prints, the log of the run, and what `eval` prints.
    """
    settings = [f"data.path={folder}", "train.precision=float32", *overrides]
    experiment = [get_config(recipe), *itertools.chain(*(["--set", each] for each in settings))]
    json_of("prepare", *experiment)
    rehearsed = json_of("train", *experiment, "--dry-run")
    trained = json_of("train", *experiment)
    assert trained["status"] == "finished"
    return rehearsed, Run(Path(trained["run"])).log, json_of("eval", *experiment)


def write_cifar10(folder):
    """Write the archive, of 600 training and 100 test images; each class has a color."""
    colors = GENERATOR.integers(40, 216, (10, 3))

    def make_batch(count):
        pixels = colors[numpy.arange(count) % 10, None, None] + GENERATOR.normal(
            0, 20, (count, 32, 32, 3)
        )
        photos = numpy.clip(pixels, 0, 255).astype(numpy.uint8)
        return b"".join(record(photo, index % 10) for index, photo in enumerate(photos))

    batches = {f"data_batch_{number}.bin": make_batch(120) for number in range(1, 6)}
    return write(folder, "cifar10", "archive", **batches, **{"test_batch.bin": make_batch(100)})


def make_file(photo, mode="RGB", extension="JPEG"):
    """Return the bytes of a file with an area of a photo, of any size and aspect ratio."""
    width, height = GENERATOR.integers(90, 600, 2).tolist()
    left, top = GENERATOR.integers(0, 200, 2).tolist()
    side = int(GENERATOR.integers(150, 227))
    area = photo.resize((width, height), box=(left, top, left + side, top + side))
    stream = io.BytesIO()
    area.convert(mode).save(stream, extension)
    return stream.getvalue()


def write_imagenet(folder, layout):
    """Write 12 training and six validation images of four classes; as among the official ones, some
    are grayscale, CMYK, or PNG in a file named JPEG.
    """
    kinds = itertools.cycle(
        [("RGB", "JPEG")] * 4 + [("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG")]
    )
    files = (make_file(PHOTOS[0], *kind) for kind in kinds)
    train = {f"{wnid}/{wnid}_{i}.JPEG": next(files) for wnid in WNIDS for i in range(3)}
    names = [f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(len(TRUTH))]
    return layout(folder, train, {name: next(files) for name in names})


def compute_rates(recipe, images, steps):
    """Return the learning rates of steps, of a training on a number of images."""
    train = read_experiment(get_config(recipe)).train
    peak = train.optimizer.learning_rate
    if train.learning_rate_scaling:
        peak *= train.learning_rate_scaling.compute_factor(train.batch_size)
    steps_per_epoch = -(-images // train.batch_size)
    total = steps_per_epoch * train.epochs
    assert max(steps) < total
    schedule = parts.load_for("schedules", train.schedule)
    return schedule.compute(train.schedule, peak, numpy.array(steps), total, steps_per_epoch)


def test_resnet20_is_trained_for_64000_steps_whose_rate_falls_after_32000_and_48000():
    steps = [0, 31_999, 32_000, 47_999, 48_000, 63_999]
    rates = compute_rates("cifar10_resnet20", 45_000, steps)
    numpy.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_resnet50_is_trained_for_90_epochs_whose_rate_falls_after_30_and_60():
    images = round(0.99 * 1_281_167)
    epoch = -(-images // 256)
    steps = [0, 30 * epoch - 1, 30 * epoch, 60 * epoch - 1, 60 * epoch, 90 * epoch - 1]
    rates = compute_rates("imagenet_resnet50", images, steps)
    numpy.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_a3_warms_up_for_5_of_100_epochs():
    images = round(0.99 * 1_281_167)
    epoch = -(-images // 2048)
    rates = compute_rates("imagenet_resnet50_a3", images, [epoch, 5 * epoch, 100 * epoch - 1])
    numpy.testing.assert_allclose(rates, [0.0016, 0.008, 0.0], atol=1e-8)


@pytest.mark.full
@pytest.mark.parametrize(
    ("recipe", "steps", "overrides"),
    [
        ("cifar10_fast", 3, ["train.epochs=2", "train.batch_size=256"]),
        ("cifar10_resnet20", 5, ["train.epochs=2", "train.schedule.milestones=[50%]"]),
    ],
)
def test_a_recipe_for_cifar10_is_trained_and_evaluated(workspace, recipe, steps, overrides):
    folder = write_cifar10(workspace / "cifar10")
    rehearsed, log, evaluated = run_recipe(recipe, folder, *overrides)
    assert (rehearsed["image_shape"], rehearsed["classes"]) == ([32, 32, 3], 10)
    assert rehearsed["steps_per_epoch"] == steps
    assert numpy.isfinite([epoch.loss for epoch in log]).all()
    assert (evaluated["examples"], len(evaluated["classes"])) == (100, 10)
    if recipe == "cifar10_fast":
        assert list(evaluated["tta"]) == ["flip_shift"]
    else:
        assert rehearsed["trainable_parameters"] == 269_722  # 0.27 million in table 6


@pytest.mark.full
@pytest.mark.parametrize(
    ("recipe", "size", "layout", "override"),
    [
        ("imagenet_resnet50", 224, packed, "train.schedule.milestones=[50%]"),
        ("imagenet_resnet50_a3", 160, flat, "train.schedule.warmup=50%"),
    ],
)
def test_a_recipe_for_imagenet_trains_two_steps(workspace, recipe, size, layout, override):
    folder = workspace / "imagenet"
    write_imagenet(folder, layout)
    rehearsed, log, evaluated = run_recipe(
        recipe,
        folder,
        override,
        "train.epochs=1",
        "train.batch_size=4",
        "train.strategy={name: mirrored, replicas: 1}",
        "data.validation=0.33",
    )
    assert rehearsed["image_shape"] == [size, size, 3]
    assert rehearsed["trainable_parameters"] == PARAMETERS_OF_RESNET50 + 2049 * 4
    assert (len(rehearsed["devices"]), rehearsed["micro_batch_size"]) == (1, 4)
    assert [(epoch.step, numpy.isfinite(epoch.loss)) for epoch in log] == [(2, True)]
    assert (evaluated["examples"], len(evaluated["classes"])) == (6, 4)


@pytest.mark.full
@pytest.mark.extras
def test_the_recipe_for_own_photos_tells_flowers_from_temples(workspace):
    folder = workspace / "photos"
    for name, photo in zip(("temple", "flower"), PHOTOS, strict=True):
        put(folder / name, {f"{i}.jpg": make_file(photo) for i in range(20)})
    rehearsed, log, evaluated = run_recipe(
        "transfer_folder", folder, "train.epochs=1", "train.batch_size=8"
    )
    assert rehearsed["image_shape"] == [224, 224, 3]
    assert rehearsed["trainable_parameters"] < rehearsed["parameters"]  # some layers are frozen
    assert numpy.isfinite(log[-1].loss)
    assert evaluated["metrics"]["accuracy"] == 1.0
