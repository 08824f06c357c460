"""rand_augment, trivial_augment and aug_mix: how they choose and combine operations."""

import numpy
import pytest
from augmentation_helpers import CROPS, NOISE, apply_augmentation, make_random

from imgcls import parts
from imgcls.augmentations import _operations
from imgcls.backend import tf


@pytest.mark.parametrize("name", ["rand_augment", "trivial_augment"])
def test_each_of_the_fourteen_operations_is_chosen_about_equally_often(name):
    right, down = (32.0, 32.0) if name == "trivial_augment" else (150 / 331 * 48, 150 / 331 * 40)
    space = (
        _operations.Space(0.99, right, down, 135.0, 0.99, (8, 6), "nearest")
        if name == "trivial_augment"
        else _operations.Space(0.3, right, down, 30.0, 0.9, (8, 4), "nearest")
    )
    count = 280
    images = numpy.repeat(CROPS[:1], count, axis=0)
    results = apply_augmentation(name, images, **({"num_ops": 1} if name == "rand_augment" else {}))
    levels = numpy.array(
        [9 / 30, -9 / 30] if name == "rand_augment" else [i / 30 for i in range(-30, 31)],
        numpy.float32,
    )
    copies = tf.constant(numpy.repeat(CROPS[:1], len(levels), axis=0))
    possible = {
        each: getattr(space, each)(copies, tf.constant(levels)).numpy() for each in _operations.ALL
    }
    found = {
        each: sum((result == outcomes).all(axis=(1, 2, 3)).any() for result in results)
        for each, outcomes in possible.items()
    }
    assert all(
        (result == outcomes).all(axis=(1, 2, 3)).any()
        for result in results
        for outcomes in [numpy.concatenate(list(possible.values()))]
    )
    for each in (
        ("rotate", "contrast", "equalize", "shear_x") if name == "rand_augment" else ("equalize",)
    ):  # level 0 changes nothing, in many operations
        assert abs(found[each] - count / 14) < 5 * numpy.sqrt(count / 14)


def test_aug_mix_mixes_an_image_with_what_its_operations_make_of_it(
    monkeypatch,
):
    assert numpy.abs(apply_augmentation("aug_mix", CROPS).astype(int) - CROPS).max() > 3
    part = parts.load("augmentations", "aug_mix")
    monkeypatch.setattr(part, "OPERATIONS", ("identity", "identity"))
    assert numpy.abs(apply_augmentation("aug_mix", CROPS).astype(int) - CROPS).max() <= 1
    monkeypatch.setattr(part, "OPERATIONS", ("identity", "posterize"))
    darker = (
        apply_augmentation("aug_mix", CROPS, severity=10.0).astype(int) - CROPS
    )  # posterize only takes bits away
    assert darker.max() <= 1
    assert darker.min() < -10


def test_aug_mix_is_the_papers_algorithm_image_by_image():
    count, width, depth = 12, 2, 3
    images = numpy.concatenate([CROPS, NOISE, CROPS[:2]])
    operations = parts.load("augmentations", "aug_mix").OPERATIONS
    space = _operations.Space(
        0.3, 48 / 3, 40 / 3, degrees=30.0, enhance=0.0, bits=(4, 4), interpolation="bilinear"
    )
    random = make_random(count)
    depths = 1 + numpy.floor(random.uniform(0.0, 1.0, (width,)) * depth)
    choices = 1 + numpy.floor(
        random.uniform(0.0, 1.0, (width, depth)) * (len(operations) - 1)
    ).astype(int)
    levels = (
        random.uniform(0.1, 3.0, (width, depth)).numpy()
        / 10
        * numpy.sign(random.uniform(-1.0, 1.0, (width, depth)))
    )
    exponential = -numpy.log1p(-random.uniform(0.0, 1.0, (width,)).numpy())
    weights, mixed = (
        exponential / exponential.sum(axis=1, keepdims=True),
        random.uniform(0.0, 1.0, (1,)).numpy()[:, 0],
    )
    ours = apply_augmentation("aug_mix", images, width=width, depth=depth)
    for i in range(count):
        mixture = numpy.zeros(images.shape[1:])
        for chain in range(width):
            changed = tf.constant(images[i : i + 1])
            for position in range(int(depths[i, chain])):
                changed = getattr(space, operations[choices[i, chain, position]])(
                    changed, tf.constant(levels[i, chain, position : position + 1])
                )
            mixture += weights[i, chain] * changed.numpy()[0]
        expected = (1 - mixed[i]) * images[i] + mixed[i] * mixture
        assert numpy.abs(ours[i] - expected).max() < 0.51
