"""Cropping JPEG files before they are decoded; cropping the decoded image is the oracle."""

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
CODINGS = {
    "4:2:0": {"subsampling": 2},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0},
    "gray": {"gray": True},
    "progressive": {"progressive": True},
    "other restart markers": {"restart_marker_blocks": 3},
    "RGB": {"keep_rgb": True},
}
SIZES = [(1, 1), (8, 8), (17, 16), (16, 31), (33, 47), (100, 129), (375, 500)]


def make_photo(height, width, coding="4:2:0", quality=75):
    options = {"quality": quality, **CODINGS[coding]}
    image = Image.fromarray(PHOTO[:height, :width])
    return encode(image.convert("L") if options.pop("gray", False) else image, **options)


def encode(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def open_image(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def add_index(data):
    """Encode a file again, with restart markers and their index."""
    return jpeg_encode.encode_jpeg(open_image(data), True, data)


def decode(data, strict=True):
    """Decode a file as training does."""
    colors = "GRAY" if open_image(data).mode == "L" else "RGB"
    return simplejpeg.decode_jpeg(data, colors, fastdct=True, fastupsample=True, strict=strict)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("coding", ["4:2:0", "4:4:4", "gray"])
@pytest.mark.parametrize("size", SIZES[1:])
def test_encoding_a_file_again_hardly_changes_its_pixels(size, coding, quality):
    data = make_photo(*size, coding, quality=quality)
    change = numpy.asarray(open_image(add_index(data))).astype(int) - numpy.asarray(
        open_image(data)
    )
    assert numpy.abs(change).mean() < 0.08


@pytest.mark.parametrize("coding", ["4:2:2", "RGB"])
def test_encoding_again_changes_little_if_ycbcr_cannot_be_reused(coding):
    data = make_photo(375, 500, coding, quality=90)
    change = numpy.asarray(open_image(add_index(data))).astype(int) - numpy.asarray(
        open_image(data)
    )
    assert numpy.abs(change).mean() < 0.6


def random_crops(height, width, count, seed=0):
    generator = numpy.random.default_rng(seed)
    tops, lefts = generator.integers(0, height, count), generator.integers(0, width, count)
    heights = [generator.integers(1, height - top + 1) for top in tops]
    widths = [generator.integers(1, width - left + 1) for left in lefts]
    return numpy.stack([tops, lefts, heights, widths], axis=1).astype(numpy.int32)


def crop_file(data, *crops):
    size = open_image(data).size[::-1]
    return jpeg.crop_files(
        [data] * len(crops),
        numpy.tile(numpy.int32(size), (len(crops), 1)),
        numpy.int32(crops),
    )


def assert_same_crop(data, smaller, region, crop, strict=True):
    pixels = decode(smaller, strict)
    assert pixels.shape[:2] == region[2:]
    top, left, height, width = crop
    inner_top, inner_left = top - region[0], left - region[1]
    numpy.testing.assert_array_equal(
        pixels[inner_top : inner_top + height, inner_left : inner_left + width],
        decode(data)[top : top + height, left : left + width],
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("coding", CODINGS)
def test_a_file_cropped_at_its_bottom_has_the_same_pixels(coding, size):
    data, crops = make_photo(*size, coding), random_crops(*size, 8)
    for crop, (smaller, region) in zip(crops, crop_file(data, *crops), strict=True):
        assert region[:2] == (0, 0)
        assert region[3] == size[1]
        assert crop[0] + crop[2] <= region[2] < crop[0] + crop[2] + 16
        # Not strict, since superfluous data follow.
        assert_same_crop(data, smaller, region, crop, strict=False)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("coding", CODINGS)
def test_a_file_cropped_by_its_index_is_valid_and_has_the_same_pixels(coding, size):
    data, crops = add_index(make_photo(*size, coding)), random_crops(*size, 8)
    assert jpeg.has_index(data)
    for crop, (smaller, region) in zip(crops, crop_file(data, *crops), strict=True):
        assert region[0] <= crop[0] < region[0] + 16
        assert region[1] <= crop[1] < region[1] + 32
        assert_same_crop(data, smaller, region, crop)


def test_files_of_many_sizes_are_cropped_together_and_keep_their_order():
    files = [
        add_index(make_photo(100, 129)),
        make_photo(33, 47),
        add_index(make_photo(33, 47, "gray")),
        b"no JPEG",
        add_index(make_photo(375, 500, "4:4:4")),
    ]
    sizes = numpy.int32([[100, 129], [33, 47], [33, 47], [5, 7], [375, 500]])
    crops = numpy.int32(
        [[50, 40, 20, 30], [3, 4, 5, 6], [20, 30, 13, 17], [0, 0, 2, 3], [200, 100, 60, 222]]
    )
    results = jpeg.crop_files(files, sizes, crops)
    assert results[3] == (b"no JPEG", (0, 0, 5, 7))
    for i in (0, 1, 2, 4):
        assert_same_crop(files[i], *results[i], crops[i], strict=False)


def test_a_small_crop_is_a_small_file():
    data = add_index(make_photo(375, 500))
    ((smaller, region),) = crop_file(data, [200, 300, 40, 50])
    assert region == (192, 288, 48, 64)
    assert len(smaller) < len(data) / 10


@pytest.mark.parametrize("coding", CODINGS)
def test_a_file_with_an_index_has_the_pixels_of_pillows_file(coding):
    image = open_image(make_photo(100, 129, coding))
    numpy.testing.assert_array_equal(
        numpy.asarray(open_image(jpeg_encode.encode_jpeg(image, True))),
        numpy.asarray(open_image(encode(image, quality=95))),
    )


@pytest.mark.parametrize("coding", CODINGS)
def test_encoding_again_preserves_quantization_subsampling_and_color_space(coding):
    before = open_image(make_photo(100, 129, coding, quality=60))
    after = open_image(add_index(make_photo(100, 129, coding, quality=60)))
    assert after.quantization == before.quantization
    assert get_sampling(after) == get_sampling(before)
    assert after.info.get("adobe_transform") == before.info.get("adobe_transform")
    assert after.mode == before.mode


def test_without_markers_a_file_without_an_index_is_unchanged():
    data = make_photo(33, 47)
    assert jpeg_encode.encode_jpeg(open_image(data), False, data) is data
    assert not jpeg.has_index(jpeg_encode.encode_jpeg(open_image(data), False, add_index(data)))


def test_few_functions_are_used_outside_the_folder():
    package = Path(jpeg.__file__).parent
    used = {
        name
        for path in package.parent.rglob("*.py")
        if path.parent != package
        for name in re.findall(r"\b(jpeg(?:_encode)?\.\w+)\(", path.read_text())
    }
    assert used == {"jpeg.crop_files", "jpeg.has_index", "jpeg_encode.encode_jpeg"}


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_restart_markers_and_their_index_take_about_ten_percent_more_space(quality):
    data = encode(Image.fromarray(PHOTO), quality=quality)
    assert len(add_index(data)) < 1.12 * len(data)


def test_an_image_with_too_many_intervals_for_an_index_is_cropped_at_its_bottom():
    data = jpeg_encode.encode_jpeg(Image.new("L", (4000, 1100)), True)
    assert not jpeg.has_index(data)
    ((smaller, region),) = crop_file(data, [50, 60, 30, 40])
    assert region == (0, 0, 80, 4000)
    assert decode(smaller, strict=False).shape == (80, 4000, 1)


def test_the_header_of_an_embedded_thumbnail_is_ignored():
    data, thumbnail = make_photo(100, 129), make_photo(33, 47)
    data = data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
    ((smaller, region),) = crop_file(data, [10, 20, 30, 40])
    assert region == (0, 0, 48, 129)
    assert_same_crop(data, smaller, region, [10, 20, 30, 40], strict=False)


def test_fill_bytes_between_segments_are_skipped():
    data = make_photo(33, 47)
    padded = data[:2] + b"\xff\xff" + data[2:]
    ((_, region),) = crop_file(padded, [0, 0, 5, 5])
    assert region == (0, 0, 16, 47)


@pytest.mark.parametrize("damage", ["truncated", "a byte changed"])
def test_a_file_with_a_damaged_header_keeps_its_length(damage):
    data, generator = make_photo(33, 47), numpy.random.default_rng(0)
    for offset in range(1, 700):
        rest = (
            b"" if damage == "truncated" else bytes([generator.integers(256)]) + data[offset + 1 :]
        )
        damaged = data[:offset] + rest
        ((smaller, region),) = jpeg.crop_files(
            [damaged], numpy.int32([[33, 47]]), numpy.int32([[3, 4, 5, 6]])
        )
        assert region in ((0, 0, 33, 47), *((0, 0, height, 47) for height in range(8, 33)))
        assert len(smaller) == len(damaged)


def test_a_file_of_another_size_than_in_the_store_is_not_cropped():
    data = make_photo(33, 47)
    assert jpeg.crop_files([data], numpy.int32([[47, 33]]), numpy.int32([[3, 4, 5, 6]])) == [
        (data, (0, 0, 47, 33))
    ]
