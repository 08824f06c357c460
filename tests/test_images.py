"""A file becomes pixels on purpose, whatever its format; Pillow and plain arithmetic are the
oracles.
"""

import io
import os
import struct
import zlib

import numpy
import pytest
from PIL import Image, ImageOps

from imgcls.image import decode
from imgcls.image.decode import Geometry

SHADES = numpy.arange(48, dtype=numpy.uint8).reshape(6, 8) * 5
COLOURS = numpy.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=numpy.uint8)
ALPHA = numpy.linspace(0, 255, 48).astype(numpy.uint8).reshape(6, 8)


def read(path, channels=3, resize="stretch", size=(6, 8), max_megapixels=100.0):
    return decode.decode_image(
        decode.read_file(path), Geometry((*size, channels), resize), max_megapixels
    )


def is_grey(path, max_megapixels=100.0):
    with decode.open_image(path.read_bytes(), max_megapixels) as file:
        return decode.is_grayscale(file)


def on_white(colours, alpha):
    opacity = alpha[..., None] / 255
    return colours * opacity + 255 * (1 - opacity)


@pytest.mark.parametrize("extension", ["png", "bmp", "gif"])
def test_lossless_grey_keeps_every_pixel(tmp_path, extension):
    path = tmp_path / f"image.{extension}"
    Image.fromarray(SHADES).save(path)
    numpy.testing.assert_array_equal(read(path, channels=1)[..., 0], SHADES)
    assert is_grey(path)


@pytest.mark.parametrize(
    ("extension", "options"), [("png", {}), ("bmp", {}), ("webp", {"lossless": True})]
)
def test_lossless_rgb_keeps_every_pixel(tmp_path, extension, options):
    path = tmp_path / f"image.{extension}"
    Image.fromarray(COLOURS).save(path, **options)
    numpy.testing.assert_array_equal(read(path), COLOURS)
    assert not is_grey(path)


def test_jpeg_equals_pillows_decoding(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(COLOURS).save(path)
    numpy.testing.assert_array_equal(read(path), numpy.asarray(Image.open(path)))


def test_rgb_read_as_one_channel_is_pillows_luminance(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(COLOURS).save(path)
    numpy.testing.assert_array_equal(
        read(path, channels=1)[..., 0], numpy.asarray(Image.fromarray(COLOURS).convert("L"))
    )


def test_grey_read_as_three_channels_repeats_itself(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(SHADES).save(path)
    numpy.testing.assert_array_equal(read(path), numpy.repeat(SHADES[..., None], 3, axis=2))


def test_one_bit_becomes_black_and_white(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(SHADES > 100).save(path)
    numpy.testing.assert_array_equal(
        read(path, channels=1)[..., 0], numpy.where(SHADES > 100, 255, 0)
    )


def test_rgba_is_laid_on_white(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(numpy.dstack([COLOURS, ALPHA])).save(path)
    numpy.testing.assert_allclose(read(path), on_white(COLOURS, ALPHA), atol=1)


def test_grey_with_alpha_is_laid_on_white_and_stays_grey(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(numpy.dstack([SHADES, ALPHA])).save(path)
    numpy.testing.assert_allclose(
        read(path, channels=1), on_white(SHADES[..., None], ALPHA), atol=1
    )
    assert is_grey(path)


def palette_image(colours):
    image = Image.new("P", (2, 1))
    image.putpalette(colours)
    image.putdata([0, 1])
    return image


def test_palette_colours_are_looked_up(tmp_path):
    path = tmp_path / "image.png"
    palette_image([200, 10, 20, 3, 4, 5]).save(path)
    assert read(path, size=(1, 2)).tolist() == [[[200, 10, 20], [3, 4, 5]]]
    assert not is_grey(path)


@pytest.mark.parametrize("extension", ["png", "gif"])
def test_transparent_palette_entry_becomes_white(tmp_path, extension):
    path = tmp_path / f"image.{extension}"
    palette_image([200, 10, 20, 3, 4, 5]).save(path, transparency=1)
    assert read(path, size=(1, 2)).tolist() == [[[200, 10, 20], [255, 255, 255]]]


def test_palette_of_greys_counts_as_grey(tmp_path):
    path = tmp_path / "image.png"
    palette_image([9, 9, 9, 200, 200, 200]).save(path)
    assert is_grey(path)


def test_rgb_with_a_transparent_colour_becomes_white_there(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(numpy.array([[[1, 2, 3], [4, 5, 6]]], numpy.uint8)).save(
        path, transparency=(1, 2, 3)
    )
    assert read(path, size=(1, 2)).tolist() == [[[255, 255, 255], [4, 5, 6]]]


def test_cmyk_jpeg_equals_pillows_conversion(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(COLOURS).convert("CMYK").save(path)
    numpy.testing.assert_array_equal(read(path), numpy.asarray(Image.open(path).convert("RGB")))


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    path = tmp_path / "image.png"
    values = numpy.array([[0, 128, 129, 257, 32768, 65535]], numpy.uint16)
    Image.fromarray(values).save(path)
    assert read(path, channels=1, size=(1, 6)).ravel().tolist() == [
        round(value / 257) for value in values.ravel().tolist()
    ]
    assert is_grey(path)


def png(bits, colour_type, size, rows, *chunks):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(*pair) for pair in chunks)
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def test_sixteen_bit_rgb_is_scaled_not_clipped(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(png(16, 2, (2, 1), [struct.pack(">6H", 0, 32768, 65535, 65535, 0, 257)]))
    assert read(path, size=(1, 2)).tolist() == [[[0, 128, 255], [255, 0, 1]]]


def test_sixteen_bit_grey_with_a_transparent_value_becomes_white_there(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(
        png(16, 0, (2, 1), [struct.pack(">2H", 257, 514)], (b"tRNS", struct.pack(">H", 257)))
    )
    assert read(path, channels=1, size=(1, 2)).ravel().tolist() == [255, 2]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_known_range_are_refused(mode):
    with pytest.raises(decode.ImageError, match="no known range"):
        decode.convert_channels(Image.new(mode, (2, 2)), 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_exif_orientation_is_applied(tmp_path, orientation, extension):
    path = tmp_path / f"image.{extension}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOURS).save(path, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    numpy.testing.assert_array_equal(
        read(path, size=(upright.height, upright.width)), numpy.asarray(upright)
    )


def test_first_frame_of_an_animation_is_read(tmp_path):
    path = tmp_path / "image.gif"
    frames = [Image.new("L", (4, 3), shade) for shade in (10, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert (read(path, channels=1, size=(3, 4)) == 10).all()


def test_pad_equals_pillows_pad(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(COLOURS).save(path)
    expected = ImageOps.pad(Image.fromarray(COLOURS), (16, 16), Image.Resampling.BICUBIC)
    numpy.testing.assert_array_equal(
        read(path, resize="pad", size=(16, 16)), numpy.asarray(expected)
    )


def test_crop_equals_pillows_fit(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(COLOURS).save(path)
    expected = ImageOps.fit(Image.fromarray(COLOURS), (4, 4), Image.Resampling.BICUBIC)
    numpy.testing.assert_array_equal(
        read(path, resize="crop", size=(4, 4)), numpy.asarray(expected)
    )


def test_shrinking_is_antialiased(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray((numpy.indices((64, 64)).sum(axis=0) % 2 * 255).astype(numpy.uint8)).save(path)
    assert numpy.abs(read(path, channels=1, size=(8, 8))[1:-1, 1:-1].astype(int) - 127).max() <= 2


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1)])
def test_the_thinnest_image_survives_padding(tmp_path, size):
    path = tmp_path / "image.png"
    Image.new("L", size, 255).save(path)
    image = read(path, channels=1, resize="pad", size=(32, 32))
    assert (image == 255).sum() == 32


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
def test_a_large_jpeg_read_at_a_fraction_looks_like_the_whole(tmp_path, resize, orientation):
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = Image.fromarray(COLOURS).resize((800, 480), Image.Resampling.BICUBIC)
    smooth.save(path, exif=exif, quality=95)
    whole = ImageOps.exif_transpose(Image.open(path))
    expected = decode.resize_image(whole, (32, 48), resize)
    difference = numpy.abs(
        read(path, resize=resize, size=(48, 32)).astype(int) - numpy.asarray(expected)
    )
    assert difference.mean() < 2


def test_a_wrong_extension_does_not_matter(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(SHADES).save(path, format="PNG")
    numpy.testing.assert_array_equal(read(path, channels=1)[..., 0], SHADES)


def problem(path, **settings):
    with pytest.raises(decode.ImageError) as caught:
        read(path, **settings)
    return str(caught.value)


def encoded(extension):
    stream = io.BytesIO()
    noise = numpy.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(stream, format=extension)
    return stream.getvalue()


@pytest.mark.parametrize("extension", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_a_truncated_image_is_refused(tmp_path, extension):
    path = tmp_path / f"image.{extension.lower()}"
    data = encoded(extension)
    path.write_bytes(data[: len(data) // 2])
    assert problem(path)


@pytest.mark.parametrize("extension", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_random_damage_gives_an_image_or_an_image_error(tmp_path, extension):
    path = tmp_path / "image"
    random = numpy.random.default_rng(2)
    for _ in range(40):
        data = bytearray(encoded(extension))
        for position in random.integers(0, len(data), 8):
            data[position] = random.integers(256)
        for position in random.integers(0, 64, 2):
            data[position] = random.integers(256)
        path.write_bytes(bytes(data))
        try:
            assert read(path).shape == (6, 8, 3)
        except decode.ImageError:
            continue


def test_bad_files_say_what_is_wrong(tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert problem(tmp_path / "text.png") == "damaged, or not a PNG, JPEG, WebP, BMP or GIF image"
    assert problem(tmp_path / "empty.png") == "empty file (0 bytes)"
    assert problem(tmp_path / "pipe.png") == "not a regular file"
    assert problem(tmp_path / "dangling.png") == "cannot be read: No such file or directory"
    assert problem(tmp_path / "loop.png") == "cannot be read: Too many levels of symbolic links"


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(8, 0, (60_000, 60_000), []))
    assert (
        problem(path) == "too large: 60000x60000 is 3600.0 megapixels, data.max_megapixels is 100.0"
    )


def test_the_limit_on_megapixels_is_the_users(tmp_path):
    path = tmp_path / "image.png"
    Image.new("1", (14_000, 14_000)).save(path)
    assert (
        problem(path) == "too large: 14000x14000 is 196.0 megapixels, data.max_megapixels is 100.0"
    )
    assert is_grey(path, 200.0)
