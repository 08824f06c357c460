"""All similar images are found, and no others."""

import io

import numpy
import pytest
from PIL import Image, ImageDraw, ImageEnhance
from sklearn.datasets import load_sample_images

from imgcls.checks import _similarity, near_duplicates
from imgcls.checks._similarity import Similarity
from imgcls.image import image_statistics
from imgcls.store.storage import EncodedStorage

DEFAULT = near_duplicates.Settings(name="near_duplicates").similarity


def standardize(gray):
    centered = gray.reshape(64).astype(float) - gray.mean()
    return centered / max(centered.std(), 32.0)


def compare_all_pairs(hashes, thumbnails, labels, thresholds):
    """Return the groups of `group_similar`, by comparing all pairs."""
    same, conflicting = (list(range(len(hashes))) for _ in range(2))
    for i in range(len(hashes)):
        for j in range(i):
            one, other = thumbnails[i], thumbnails[j]
            near = int(hashes[i] ^ hashes[j]).bit_count() <= thresholds.distance
            near &= numpy.abs(one.astype(float) - other).mean() <= thresholds.brightness
            near &= numpy.abs(standardize(one) - standardize(other)).mean() <= thresholds.difference
            equal = hashes[i] == hashes[j] and (one == other).all() and labels[i] == labels[j]
            if near and labels[i] == labels[j]:
                same = [same[j] if group == same[i] else group for group in same]
            if (near and labels[i] != labels[j]) or equal:
                conflicting = [
                    conflicting[j] if group == conflicting[i] else group for group in conflicting
                ]
    return same, conflicting


def gray_means(count):
    return numpy.full((count, 3), 128, numpy.float32)


def partition(groups):
    """Return the indices in each group, whatever the numbers of the groups."""
    members = {}
    for index, group in enumerate(groups):
        members.setdefault(int(group), []).append(index)
    return sorted(members.values())


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 8])
def test_the_groups_are_those_of_comparing_all_pairs(distance):
    random = numpy.random.default_rng(distance)
    hashes = random.integers(0, 2**64, 15, dtype=numpy.uint64)[random.integers(0, 15, 120)]
    for _ in range(distance):
        flipped = random.random(120) < 0.3
        hashes[flipped] ^= numpy.uint64(1) << random.integers(
            0, 64, flipped.sum(), dtype=numpy.uint64
        )
    thumbnails = numpy.tile(random.integers(0, 240, (8, 8), dtype=numpy.uint8), (120, 1, 1))
    thumbnails += random.integers(0, 2, (120, 1, 1), dtype=numpy.uint8) * random.integers(
        0, 16, (120, 8, 8), dtype=numpy.uint8
    )
    labels = random.integers(0, 3, 120, dtype=numpy.int32)
    thresholds = Similarity(distance, 0.05, 5.0, 0.0)
    found, expected = (
        _similarity.group_similar(hashes, thumbnails, gray_means(120), labels, thresholds),
        compare_all_pairs(hashes, thumbnails, labels, thresholds),
    )
    assert 1 < len(partition(expected[0])) < 120
    assert [partition(groups) for groups in found] == [partition(groups) for groups in expected]


def test_thousands_of_equal_images_are_one_group_and_conflict_with_other_labels():
    hashes, thumbnails = (
        numpy.full(20_000, 7, numpy.uint64),
        numpy.full((20_000, 8, 8), 200, numpy.uint8),
    )
    labels = (numpy.arange(20_000) % 2).astype(numpy.int32)
    same, conflicting = _similarity.group_similar(
        hashes, thumbnails, gray_means(20_000), labels, DEFAULT
    )
    assert (len(numpy.unique(same)), len(numpy.unique(conflicting))) == (2, 1)


def test_thousands_of_different_images_with_one_hash_are_not_similar():
    random = numpy.random.default_rng(0)
    thumbnails = random.integers(64, 192, (2_000, 8, 8), dtype=numpy.uint8)
    same, _ = _similarity.group_similar(
        numpy.full(2_000, 7, numpy.uint64),
        thumbnails,
        gray_means(2_000),
        numpy.zeros(2_000, numpy.int32),
        DEFAULT,
    )
    assert len(numpy.unique(same)) == 2_000


def test_a_white_and_a_black_page_are_not_similar():
    thumbnails = numpy.stack([numpy.full((8, 8), gray, numpy.uint8) for gray in (5, 250, 240)])
    same, _ = _similarity.group_similar(
        numpy.ones(3, numpy.uint64), thumbnails, gray_means(3), numpy.zeros(3, numpy.int32), DEFAULT
    )
    assert partition(same) == [[0], [1, 2]]


def saved(image, **options):
    """Return an image after saving and opening it."""
    stream = io.BytesIO()
    image.save(stream, **options)
    return Image.open(io.BytesIO(stream.getvalue()))


def cropped(image):
    return image.crop((1, 1, image.width - 1, image.height - 1))


COPIES = {
    "JPEG of quality 90": (lambda tile: saved(tile, format="JPEG", quality=90), 0.96),
    "JPEG of quality 30": (lambda tile: saved(tile, format="JPEG", quality=30), 0.8),
    "twice as large": (
        lambda tile: tile.resize((tile.width * 2, tile.height * 2), Image.Resampling.BICUBIC),
        1.0,
    ),
    "half as large": (
        lambda tile: tile.resize((tile.width // 2, tile.height // 2), Image.Resampling.BICUBIC),
        1.0,
    ),
    "10 % darker": (lambda tile: ImageEnhance.Brightness(tile).enhance(0.9), 0.63),
    "5 % brighter": (lambda tile: ImageEnhance.Brightness(tile).enhance(1.05), 0.86),
    "cropped by a pixel on each side": (cropped, 0.63),
}
"""How a copy is made, and the fraction of copies that must be found, as measured and rounded down.
A third of the tiles are sky or blur."""


@pytest.fixture(scope="module")
def tiles():
    """Tiles of two photos, 128 pixels wide, that do not overlap."""
    return [
        Image.fromarray(photo[top : top + 128, left : left + 128])
        for photo in load_sample_images().images
        for top in range(0, 427 - 128, 128)
        for left in range(0, 640 - 127, 128)
    ]


def group(pictures):
    measured = [
        image_statistics.measure_image(saved(picture, format="PNG"), EncodedStorage().decode)[0]
        for picture in pictures
    ]
    table = image_statistics.make_table(measured, [b""] * len(measured))
    return _similarity.group_similar(
        table["hash"],
        table["thumbnail"],
        table["mean"],
        numpy.zeros(len(table), numpy.int32),
        DEFAULT,
    )[0]


def draw_circle(color, background="white"):
    image = Image.new("RGB", (96, 96), background)
    ImageDraw.Draw(image).ellipse((30, 30, 66, 66), color)
    return image


def draw_stripes(*colors):
    image = Image.new("RGB", (96, 64))
    for number, color in enumerate(colors):
        image.paste(color, (32 * number, 0, 32 * number + 32, 64))
    return image


RECOLORED = {
    "circles": [draw_circle(color) for color in ("#0000ff", "#a00000", "#005000", "#ff0000")],
    "circles on gray": [draw_circle(color, "gray") for color in ("#4040ff", "#ff2020", "#00a000")],
    "flags": [
        draw_stripes("#008751", "white", "#008751"),  # Nigeria
        draw_stripes("#d91023", "white", "#d91023"),  # Peru
    ],
    "sheets": [draw_circle(color, color) for color in ("#dd4444", "#44aa44", "#7777ff")],
}


@pytest.mark.parametrize("kind", RECOLORED)
def test_pictures_of_other_colors_are_no_copies(kind):
    pictures = RECOLORED[kind]
    assert len(set(group(pictures).tolist())) == len(pictures)


@pytest.mark.parametrize("kind", ["flags", "sheets"])
def test_drawings_that_are_darker_or_saved_again_are_copies(kind):
    pictures = RECOLORED[kind]
    copies = [saved(each, format="JPEG", quality=75).convert("RGB") for each in pictures]
    darker = [ImageEnhance.Brightness(each).enhance(0.9) for each in pictures]
    groups = group([*pictures, *copies, *darker]).reshape(3, -1)
    assert (groups == groups[0]).all()


def test_different_photos_are_not_similar(tiles):
    assert len(set(group(tiles).tolist())) == len(tiles) == 30


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_photos_are_found(tiles, kind):
    copy, fraction = COPIES[kind]
    groups = group([*tiles, *[copy(tile).convert("RGB") for tile in tiles]])
    found = (groups[: len(tiles)] == groups[len(tiles) :]).mean()
    assert found >= fraction
