"""Crops of stored images, pixels or encoded, are near Pillow's, mirrored or at the edges too."""

import io

import numpy
import pytest
from experiments import as_they_are, read_pixels
from PIL import Image
from sample_photo import PHOTO, encode

from imgcls.errors import DataError
from imgcls.image.decode import Geometry
from imgcls.store.reader import EncodedReader

GEOMETRY = Geometry((24, 32, 3), "crop")


@pytest.fixture
def encoded(tmp_path):
    """Return a function that makes a reader of image files, whose records are made with Pillow."""
    return lambda *files, geometry=GEOMETRY: make_encoded(tmp_path / "images.bin", files, geometry)


def make_encoded(path, files, geometry):
    records = numpy.zeros(
        len(files),
        [("start", "<u8"), ("length", "<u8"), ("height", "<u4"), ("width", "<u4"), ("plain", "?")],
    )
    for i, data in enumerate(files):
        with Image.open(io.BytesIO(data)) as image:
            size = image.height, image.width
            is_plain = image.format == "JPEG" and image.mode in ("L", "RGB")
        records[i] = (sum(map(len, files[:i])), len(data), *size, is_plain)
    path.write_bytes(b"".join(files))
    return EncodedReader(path, records, geometry)


def crop_with_pillow(data, crop, shape):
    top, left, height, width = crop
    mode = {1: "L", 3: "RGB"}[shape[2]]
    image = Image.open(io.BytesIO(data)).convert(mode).crop((left, top, left + width, top + height))
    return numpy.asarray(image.resize(shape[1::-1], Image.Resampling.BILINEAR)).reshape(shape)


def test_any_number_of_channels_is_preserved():
    pixels = numpy.random.default_rng(0).integers(0, 256, (3, 12, 10, 7), numpy.uint8)
    smaller = read_pixels(pixels, Geometry((6, 5, 7), "stretch")).read(numpy.array([2]))[0]
    for channel in range(7):
        expected = Image.fromarray(pixels[2, ..., channel]).resize((5, 6), Image.Resampling.BICUBIC)
        numpy.testing.assert_array_equal(smaller[..., channel], expected)
    numpy.testing.assert_array_equal(as_they_are(pixels).read(numpy.array([1, 0])), pixels[[1, 0]])


CROPS = {
    "enlarged": (10, 20, 20, 30),
    "same size": (0, 0, 48, 64),
    "shrunk": (50, 60, 70, 95),
    "twice": (100, 200, 200, 260),
    "whole": (0, 0, 427, 640),
}


@pytest.mark.parametrize("crop", CROPS.values(), ids=CROPS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_of_a_jpeg_is_close_to_pillows_antialiased_one(encoded, crop, channels):
    data, shape = encode(PHOTO, quality=95), (48, 64, channels)
    result = encoded(data, geometry=Geometry(shape, "crop")).crop(
        numpy.array([0]), numpy.array([crop]), numpy.array([False])
    )[0]
    difference = numpy.abs(result.astype(int) - crop_with_pillow(data, crop, shape))
    assert difference.mean() < (
        3 if crop[2] < 300 else 5
    )  # an eighth of a JPEG is a mean over 8x8, Pillow's filter is wider


@pytest.mark.parametrize("crop", CROPS.values(), ids=CROPS)
def test_a_crop_of_other_formats_is_close_to_pillows_antialiased_one(encoded, crop):
    data, shape = encode(PHOTO, "PNG"), (48, 64, 3)
    result = encoded(data, geometry=Geometry(shape, "crop")).crop(
        numpy.array([0]), numpy.array([crop]), numpy.array([False])
    )[0]
    assert numpy.abs(result.astype(int) - crop_with_pillow(data, crop, shape)).mean() < 3


def test_an_enlarged_crop_of_pixels_equals_pillows_bilinear_one():
    reader = read_pixels(PHOTO[None], Geometry((48, 64, 3), "crop"))
    result = reader.crop(numpy.array([0]), numpy.array([[10, 20, 30, 40]]), numpy.array([False]))[0]
    expected = Image.fromarray(PHOTO[10:40, 20:60]).resize((64, 48), Image.Resampling.BILINEAR)
    assert numpy.abs(result.astype(int) - numpy.asarray(expected)).max() <= 1


@pytest.mark.parametrize("extension", ["JPEG", "PNG"])
def test_crops_at_the_edges_and_of_one_pixel_work(encoded, extension):
    reader = encoded(encode(PHOTO, extension))
    crops = numpy.array([[0, 0, 1, 1], [426, 639, 1, 1], [0, 639, 427, 1], [426, 0, 1, 640]])
    assert reader.crop(numpy.zeros(4, numpy.int64), crops, numpy.zeros(4, bool)).shape == (
        4,
        24,
        32,
        3,
    )


@pytest.mark.parametrize("extension", ["JPEG", "pixels"])
def test_only_the_given_crops_are_flipped(encoded, extension):
    reader = read_pixels(PHOTO[None], GEOMETRY) if extension == "pixels" else encoded(encode(PHOTO))
    crops, none = numpy.array([[0, 0, 100, 200], [50, 60, 70, 80]]), numpy.zeros(2, numpy.int64)
    plain, mirrored = (
        reader.crop(none, crops, numpy.array(chosen)) for chosen in ([False, False], [False, True])
    )
    numpy.testing.assert_array_equal(mirrored, [plain[0], plain[1][:, ::-1]])


def test_a_file_truncated_while_it_is_open_is_an_error(encoded, tmp_path):
    reader, data = (
        encoded(encode(PHOTO), encode(PHOTO[:90])),
        (tmp_path / "images.bin").read_bytes(),
    )
    whole = numpy.array([0, 1]), numpy.array([[0, 0, 90, 640]] * 2), numpy.array([False, False])
    reader.crop(*whole)
    (tmp_path / "images.bin").write_bytes(data[:-10])
    message = rf"images.bin is damaged \(it ends before byte {len(data):,}\); run `imgcls prepare`"
    with pytest.raises(DataError, match=message):
        reader.crop(*whole)


def test_no_image_gives_an_empty_batch(encoded):
    reader = encoded(encode(PHOTO))
    none = numpy.array([], numpy.int64)
    assert reader.read(none).shape == (0, 24, 32, 3)
    assert reader.crop(none, numpy.empty((0, 4), numpy.int32), numpy.empty(0, bool)).shape == (
        0,
        24,
        32,
        3,
    )


def test_a_jpeg_that_the_fast_decoder_warns_about_is_still_cropped(encoded):
    """Bytes between the image's segments: Pillow reads over them without a word."""
    data = encode(PHOTO)
    end = data.rindex(b"\xff\xd9")
    strange = data[:end] + b"\x00\x00" + data[end:]
    whole = numpy.array([0]), numpy.array([[0, 0, 427, 640]]), numpy.array([False])
    numpy.testing.assert_array_equal(encoded(strange).crop(*whole), encoded(data).crop(*whole))
