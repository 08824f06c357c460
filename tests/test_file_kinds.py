"""Files of phones, editors and scanners: read, or told what they are."""

import io
import struct
import zlib

import numpy
import pytest
from PIL import Image, PngImagePlugin

from imgcls.image import decode, image_statistics
from imgcls.image.decode import Geometry, ImageError

GEOMETRY = Geometry((8, 8, 3), "stretch")
PHOTO = Image.fromarray(
    numpy.linspace(0, 255, 12 * 16 * 3).astype("uint8").reshape(12, 16, 3), "RGB"
)


def save(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def read(data):
    return decode.decode_image(data, GEOMETRY, 100)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}])
def test_tiff_is_read(options):
    assert numpy.abs(read(save(PHOTO, "TIFF", **options)) - read(save(PHOTO, "PNG"))).max() < 256
    if options != {"compression": "jpeg"}:
        numpy.testing.assert_array_equal(
            read(save(PHOTO, "TIFF", **options)), read(save(PHOTO, "PNG"))
        )


def test_avif_is_read():
    difference = read(save(PHOTO, "AVIF", quality=100)).astype(int) - read(save(PHOTO, "PNG"))
    assert numpy.abs(difference).mean() < 3


def test_a_turned_tiff_is_turned_once():
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("TIFF", "PNG"):
        with decode.open_image(save(PHOTO, kind, exif=exif), 100) as file:
            statistics, image = image_statistics.measure_image(
                file, lambda opened: decode.decode_upright(opened, 3)
            )
        assert (statistics.width, statistics.height) == image.size == (12, 16)


def test_the_second_picture_of_a_phone_photo_is_no_animation():
    data = save(PHOTO, "MPO", save_all=True, append_images=[PHOTO.resize((8, 6))])
    with decode.open_image(data, 100) as file:
        statistics, _ = image_statistics.measure_image(
            file, lambda opened: decode.decode_upright(opened, 3)
        )
    assert statistics.frames == 1


def test_large_texts_and_color_profiles_of_a_png_are_no_damage():
    info = PngImagePlugin.PngInfo()
    info.add_text("XML:com.adobe.xmp", "x" * 3_000_000, zip=True)
    data = save(PHOTO, "PNG", pnginfo=info, icc_profile=bytes(3_000_000))
    numpy.testing.assert_array_equal(read(data), read(save(PHOTO, "PNG")))


@pytest.mark.parametrize("size", [(100_000_000, 1), (1, 99_000_000), (131_073, 1)])
def test_an_image_with_a_huge_side_is_too_large(size):
    def chunk(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match=r"no side may be longer than 131,072 pixels"):
        read(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b"\xef\xbb\xbf<html>", "an HTML page"),
        (b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04...", "a ZIP archive"),
        (b"8BPS\0\1", "a Photoshop document"),
        (bytes(128) + b"DICM", "a DICOM image"),
        (b"\xff\x0a\0\0", "a JPEG XL image"),
        (b"text", "damaged, or not a PNG"),
    ],
)
def test_a_file_that_is_not_an_image_is_told_what_it_is(data, kind):
    with pytest.raises(ImageError, match=kind):
        read(data)
