"""JPEG files that are cropped before they are decoded; decoding the whole file is the oracle."""

import io
import re
from pathlib import Path

import numpy
import pytest
import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import get_sampling
from sklearn.datasets import load_sample_images

from imgcls.image import jpeg, jpeg_encode

PHOTO = load_sample_images().images[0]
KINDS = {
    "4:2:0": {"subsampling": 2},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0},
    "gray": {"gray": True},
    "progressive": {"progressive": True},
    "its own restart markers": {"restart_marker_blocks": 3},
    "RGB": {"keep_rgb": True},
}
SIZES = [(1, 1), (8, 8), (17, 16), (16, 31), (33, 47), (100, 129), (375, 500)]


def photo(height, width, kind="4:2:0", quality=75):
    options = {"quality": quality, **KINDS[kind]}
    image = Image.fromarray(PHOTO[:height, :width])
    return saved(image.convert("L") if options.pop("gray", False) else image, **options)


def saved(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def indexed(data):
    """Return a file's image with restart markers and their index."""
    return jpeg_encode.encode_jpeg(opened(data), True, data)


def decoded(data, strict=True):
    """Return an image's pixels as training decodes it."""
    colors = "GRAY" if opened(data).mode == "L" else "RGB"
    return simplejpeg.decode_jpeg(data, colors, fastdct=True, fastupsample=True, strict=strict)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("kind", ["4:2:0", "4:4:4", "gray"])
@pytest.mark.parametrize("size", SIZES[1:])
def test_a_file_that_is_encoded_anew_shows_what_it_showed(size, kind, quality):
    data = photo(*size, kind, quality=quality)
    change = numpy.asarray(opened(indexed(data))).astype(int) - numpy.asarray(opened(data))
    assert numpy.abs(change).mean() < 0.08


@pytest.mark.parametrize("kind", ["4:2:2", "RGB"])
def test_a_file_whose_chroma_cannot_be_taken_as_it_is_loses_little(kind):
    data = photo(375, 500, kind, quality=90)
    change = numpy.asarray(opened(indexed(data))).astype(int) - numpy.asarray(opened(data))
    assert numpy.abs(change).mean() < 0.6


def random_crops(height, width, count, seed=0):
    generator = numpy.random.default_rng(seed)
    tops, lefts = generator.integers(0, height, count), generator.integers(0, width, count)
    heights = [generator.integers(1, height - top + 1) for top in tops]
    widths = [generator.integers(1, width - left + 1) for left in lefts]
    return numpy.stack([tops, lefts, heights, widths], axis=1).astype(numpy.int32)


def crop_file(data, *crops):
    size = opened(data).size[::-1]
    return jpeg.crop_files(
        [data] * len(crops),
        numpy.tile(numpy.int32(size), (len(crops), 1)),
        numpy.int32(crops),
    )


def assert_the_crop_is_the_same(data, smaller, part, crop, strict=True):
    pixels = decoded(smaller, strict)
    assert pixels.shape[:2] == part[2:]
    top, left, height, width = crop
    own_top, own_left = top - part[0], left - part[1]
    numpy.testing.assert_array_equal(
        pixels[own_top : own_top + height, own_left : own_left + width],
        decoded(data)[top : top + height, left : left + width],
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_crop_of_a_file_that_ends_below_it_is_the_same_bits_as_of_the_whole_file(kind, size):
    data, crops = photo(*size, kind), random_crops(*size, 8)
    for crop, (smaller, part) in zip(crops, crop_file(data, *crops), strict=True):
        assert part[:2] == (0, 0)
        assert part[3] == size[1]
        assert crop[0] + crop[2] <= part[2] < crop[0] + crop[2] + 16
        assert_the_crop_is_the_same(
            data, smaller, part, crop, strict=False
        )  # what follows is left where it is


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_crop_of_a_file_with_an_index_is_the_same_bits_and_its_file_is_flawless(kind, size):
    data, crops = indexed(photo(*size, kind)), random_crops(*size, 8)
    assert jpeg.has_index(data)
    for crop, (smaller, part) in zip(crops, crop_file(data, *crops), strict=True):
        assert part[0] <= crop[0] < part[0] + 16
        assert part[1] <= crop[1] < part[1] + 32
        assert_the_crop_is_the_same(data, smaller, part, crop)


def test_files_of_many_sizes_are_cropped_together_and_keep_their_order():
    files = [
        indexed(photo(100, 129)),
        photo(33, 47),
        indexed(photo(33, 47, "gray")),
        b"no JPEG",
        indexed(photo(375, 500, "4:4:4")),
    ]
    sizes = numpy.int32([[100, 129], [33, 47], [33, 47], [5, 7], [375, 500]])
    crops = numpy.int32(
        [[50, 40, 20, 30], [3, 4, 5, 6], [20, 30, 13, 17], [0, 0, 2, 3], [200, 100, 60, 222]]
    )
    results = jpeg.crop_files(files, sizes, crops)
    assert results[3] == (b"no JPEG", (0, 0, 5, 7))
    for i in (0, 1, 2, 4):
        assert_the_crop_is_the_same(files[i], *results[i], crops[i], strict=False)


def test_a_small_crop_is_a_small_file():
    data = indexed(photo(375, 500))
    ((smaller, part),) = crop_file(data, [200, 300, 40, 50])
    assert part == (192, 288, 48, 64)
    assert len(smaller) < len(data) / 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_an_index_shows_what_pillow_would_encode_without_one(kind):
    image = opened(photo(100, 129, kind))
    numpy.testing.assert_array_equal(
        numpy.asarray(opened(jpeg_encode.encode_jpeg(image, True))),
        numpy.asarray(opened(saved(image, quality=95))),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_encoded_anew_keeps_its_tables_its_subsampling_and_its_colors(kind):
    before = opened(photo(100, 129, kind, quality=60))
    after = opened(indexed(photo(100, 129, kind, quality=60)))
    assert after.quantization == before.quantization
    assert get_sampling(after) == get_sampling(before)
    assert after.info.get("adobe_transform") == before.info.get("adobe_transform")
    assert after.mode == before.mode


def test_an_original_is_left_as_it_is_where_neither_markers_nor_an_index_are_in_question():
    data = photo(33, 47)
    assert jpeg_encode.encode_jpeg(opened(data), False, data) is data
    assert not jpeg.has_index(jpeg_encode.encode_jpeg(opened(data), False, indexed(data)))


def test_nothing_else_crops_files_or_writes_an_index():
    package = Path(jpeg.__file__).parent
    used = {
        name
        for path in package.parent.rglob("*.py")
        if path.parent != package
        for name in re.findall(r"\b(jpeg(?:_encode)?\.\w+)\(", path.read_text())
    }
    assert used == {"jpeg.crop_files", "jpeg_encode.encode_jpeg"}


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_restart_markers_and_their_index_take_a_tenth_more_space(quality):
    data = saved(Image.fromarray(PHOTO), quality=quality)
    assert len(indexed(data)) < 1.12 * len(data)


def test_an_image_with_too_many_intervals_for_an_index_is_cropped_below_its_crops():
    data = jpeg_encode.encode_jpeg(Image.new("L", (4000, 1100)), True)
    assert not jpeg.has_index(data)
    ((smaller, part),) = crop_file(data, [50, 60, 30, 40])
    assert part == (0, 0, 80, 4000)
    assert decoded(smaller, strict=False).shape == (80, 4000, 1)


def test_the_header_of_a_thumbnail_in_the_file_is_not_taken_for_the_images_own():
    data, thumbnail = photo(100, 129), photo(33, 47)
    data = data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
    ((smaller, part),) = crop_file(data, [10, 20, 30, 40])
    assert part == (0, 0, 48, 129)
    assert_the_crop_is_the_same(data, smaller, part, [10, 20, 30, 40], strict=False)


def test_bytes_that_fill_up_between_segments_are_read_over():
    data = photo(33, 47)
    filled = data[:2] + b"\xff\xff" + data[2:]
    ((_, part),) = crop_file(filled, [0, 0, 5, 5])
    assert part == (0, 0, 16, 47)


@pytest.mark.parametrize("damage", ["truncated", "a byte changed"])
def test_a_damaged_header_is_left_to_the_decoder(damage):
    data, generator = photo(33, 47), numpy.random.default_rng(0)
    for place in range(1, 700):
        rest = (
            b"" if damage == "truncated" else bytes([generator.integers(256)]) + data[place + 1 :]
        )
        given = data[:place] + rest
        ((smaller, part),) = jpeg.crop_files(
            [given], numpy.int32([[33, 47]]), numpy.int32([[3, 4, 5, 6]])
        )
        assert part in ((0, 0, 33, 47), *((0, 0, height, 47) for height in range(8, 33)))
        assert len(smaller) == len(given)


def test_a_file_of_another_size_than_the_store_says_is_not_cropped():
    data = photo(33, 47)
    assert jpeg.crop_files([data], numpy.int32([[47, 33]]), numpy.int32([[3, 4, 5, 6]])) == [
        (data, (0, 0, 47, 33))
    ]
