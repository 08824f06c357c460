"""Boxes, crops and mixed pairs: their distributions, and what they do to images and targets."""

import numpy
import pytest
from augmentation_helpers import CROPS, apply_augmentation, make_random, make_settings
from PIL import Image
from scipy import stats

from imgcls import parts
from imgcls.augmentations import _mixing
from imgcls.augmentations._boxes import draw_boxes
from imgcls.backend import tf


def mix_images(name, images, targets, step=0, **settings):
    part = parts.load("augmentations", name)
    result = part.mix(
        make_settings(name, **settings),
        tf.constant(images),
        tf.constant(targets),
        make_random(len(images), step),
    )
    return [each.numpy() for each in result]


@pytest.mark.parametrize(
    ("name", "scale", "ratio"),
    [
        ("random_resized_crop", [0.08, 1.0], [3 / 4, 4 / 3]),
        ("random_erasing", [0.02, 0.4], [0.3, 1 / 0.3]),
    ],
)
def test_boxes_are_inside_and_cover_the_ranges_of_area_and_aspect_ratio(name, scale, ratio):
    count, height, width = 20_000, 300, 500
    boxes, fits = (
        each.numpy()
        for each in draw_boxes(
            scale,
            ratio,
            make_random(count, key=name),
            tf.fill([count], height),
            tf.fill([count], width),
        )
    )
    top, left, high, wide = boxes[fits].T
    assert fits.mean() > 0.99
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + high <= height).all()
    assert (left + wide <= width).all()
    areas, ratios = high * wide / (height * width), wide / high
    assert scale[0] - 0.01 <= areas.min() < scale[0] + 0.02
    assert areas.max() <= scale[1] + 0.01
    assert ratio[0] * 0.97 <= ratios.min() < ratio[0] * 1.1
    assert ratio[1] / 1.1 < ratios.max() <= ratio[1] * 1.03
    small = areas < 0.15  # where every shape fits, the logarithm of the ratio is uniform
    uniform = (numpy.log(ratios[small]) - numpy.log(ratio[0])) / (
        numpy.log(ratio[1]) - numpy.log(ratio[0])
    )
    assert stats.kstest(uniform, "uniform").statistic < 0.03


def test_where_no_candidate_fits_the_crop_is_the_largest_central_one():
    part = parts.load("augmentations", "random_resized_crop")
    found = part.draw_crops(
        make_settings("random_resized_crop", scale=[1.0, 1.0]),
        make_random(3),
        tf.fill([3], 100),
        tf.fill([3], 1000),
    ).numpy()
    assert found.tolist() == [[0, 433, 100, 133]] * 3


def test_random_resized_crop_enlarges_its_crops_as_pillow_does():
    part, settings = (
        parts.load("augmentations", "random_resized_crop"),
        make_settings("random_resized_crop"),
    )
    ours = part.compute(settings, tf.constant(CROPS), make_random(5)).numpy().astype(int)
    crops = part.draw_crops(settings, make_random(5), tf.fill([5], 40), tf.fill([5], 48)).numpy()
    for image, (top, left, height, width), found in zip(CROPS, crops.tolist(), ours, strict=True):
        box = (left, top, left + width, top + height)
        expected = Image.fromarray(image).resize((48, 40), Image.Resampling.BILINEAR, box=box)
        assert numpy.abs(found - numpy.asarray(expected)).max() <= 1


def test_erasing_covers_one_box_and_nothing_else():
    images = numpy.full((200, 30, 40, 1), 128, numpy.uint8)
    erased = apply_augmentation("random_erasing", images, probability=0.5, fill="constant")
    covered = (erased == 0)[..., 0]
    assert set(numpy.unique(erased)) == {0, 128}
    for mask in covered[covered.any(axis=(1, 2))]:
        rows, columns = numpy.flatnonzero(mask.any(axis=1)), numpy.flatnonzero(mask.any(axis=0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 0.01 < mask.mean() < 0.41
    assert abs(covered.any(axis=(1, 2)).mean() - 0.5) < 4 * numpy.sqrt(0.25 / 200)
    noise = apply_augmentation("random_erasing", images, probability=1.0)
    assert len(numpy.unique(noise)) > 200


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixing_ratios_are_beta_distributed(alpha):
    ratios = _mixing.draw_mixing_ratios(alpha, 1.0, make_random(20_000)).numpy() / 256
    assert stats.kstest(ratios, stats.beta(alpha, alpha).cdf).statistic < 0.02 + (
        numpy.mean(ratios == 0) if alpha < 1 else 0
    )
    assert ratios.mean() == pytest.approx(0.5, abs=0.01)
    assert (
        _mixing.draw_mixing_ratios(alpha, 0.25, make_random(20_000)).numpy() == 256
    ).mean() == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("rows", [8, 7])
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixing_gives_image_and_targets_the_same_fraction_of_the_partner(name, rows):
    levels = numpy.arange(rows) * 30
    images = numpy.repeat(levels, 20 * 30).reshape(rows, 20, 30, 1).astype(numpy.uint8)
    results, targets = mix_images(
        name, images, numpy.eye(rows, dtype=numpy.float32), probability=1.0
    )
    numpy.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    for row in range(rows):
        partner = row ^ 1 if row ^ 1 < rows else row
        assert set(numpy.flatnonzero(targets[row])) <= {row, partner}
        fraction = targets[row, row]
        expected = fraction * levels[row] + (1 - fraction) * levels[partner]
        if name == "mixup":
            assert numpy.abs(results[row] - expected).max() <= 0.5
        else:
            assert set(numpy.unique(results[row])) <= {levels[row], levels[partner]}
            assert results[row].mean() == pytest.approx(expected, abs=1e-3)
    assert (targets.max(axis=1) < 1).sum() >= rows // 2
