"""Files of every format become the right pixels; Pillow and arithmetic are the oracles."""

import struct
import zlib

import numpy
import pytest
from PIL import Image, ImageOps

from imgcls.image import decode
from imgcls.image.decode import Geometry

GRAYS = numpy.arange(48, dtype=numpy.uint8).reshape(6, 8) * 5
COLORS = numpy.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=numpy.uint8)
ALPHA = numpy.linspace(0, 255, 48).astype(numpy.uint8).reshape(6, 8)


def read(path, channels=3, resize="stretch", size=(6, 8), max_megapixels=100.0):
    return decode.decode_image(
        decode.read_file(path), Geometry((*size, channels), resize), max_megapixels
    )


def is_grayscale(path, max_megapixels=100.0):
    with decode.open_image(path.read_bytes(), max_megapixels) as file:
        return decode.is_grayscale(file)


def on_white(colors, alpha):
    opacity = alpha[..., None] / 255
    return colors * opacity + 255 * (1 - opacity)


@pytest.mark.parametrize("extension", ["png", "bmp", "gif"])
def test_lossless_grayscale_preserves_every_pixel(tmp_path, extension):
    path = tmp_path / f"image.{extension}"
    Image.fromarray(GRAYS).save(path)
    numpy.testing.assert_array_equal(read(path, channels=1)[..., 0], GRAYS)
    assert is_grayscale(path)


@pytest.mark.parametrize(
    ("extension", "options"), [("png", {}), ("bmp", {}), ("webp", {"lossless": True})]
)
def test_lossless_rgb_preserves_every_pixel(tmp_path, extension, options):
    path = tmp_path / f"image.{extension}"
    Image.fromarray(COLORS).save(path, **options)
    numpy.testing.assert_array_equal(read(path), COLORS)
    assert not is_grayscale(path)


def test_jpeg_equals_pillows_decoding(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(COLORS).save(path)
    numpy.testing.assert_array_equal(read(path), numpy.asarray(Image.open(path)))


def test_rgb_becomes_pillows_luminance_in_one_channel(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(COLORS).save(path)
    numpy.testing.assert_array_equal(
        read(path, channels=1)[..., 0], numpy.asarray(Image.fromarray(COLORS).convert("L"))
    )


def test_grayscale_is_repeated_in_three_channels(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(GRAYS).save(path)
    numpy.testing.assert_array_equal(read(path), numpy.repeat(GRAYS[..., None], 3, axis=2))


def test_one_bit_becomes_black_and_white(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(GRAYS > 100).save(path)
    numpy.testing.assert_array_equal(
        read(path, channels=1)[..., 0], numpy.where(GRAYS > 100, 255, 0)
    )


def test_rgba_is_composited_onto_white(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(numpy.dstack([COLORS, ALPHA])).save(path)
    numpy.testing.assert_allclose(read(path), on_white(COLORS, ALPHA), atol=1)


def test_grayscale_with_alpha_is_composited_onto_white_and_stays_grayscale(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(numpy.dstack([GRAYS, ALPHA])).save(path)
    numpy.testing.assert_allclose(read(path, channels=1), on_white(GRAYS[..., None], ALPHA), atol=1)
    assert is_grayscale(path)


def palette_image(colors):
    image = Image.new("P", (2, 1))
    image.putpalette(colors)
    image.putdata([0, 1])
    return image


def test_palette_colors_are_looked_up(tmp_path):
    path = tmp_path / "image.png"
    palette_image([200, 10, 20, 3, 4, 5]).save(path)
    assert read(path, size=(1, 2)).tolist() == [[[200, 10, 20], [3, 4, 5]]]
    assert not is_grayscale(path)


@pytest.mark.parametrize("extension", ["png", "gif"])
def test_a_transparent_palette_entry_becomes_white(tmp_path, extension):
    path = tmp_path / f"image.{extension}"
    palette_image([200, 10, 20, 3, 4, 5]).save(path, transparency=1)
    assert read(path, size=(1, 2)).tolist() == [[[200, 10, 20], [255, 255, 255]]]


def test_a_palette_of_grays_is_grayscale(tmp_path):
    path = tmp_path / "image.png"
    palette_image([9, 9, 9, 200, 200, 200]).save(path)
    assert is_grayscale(path)


def test_a_transparent_color_of_rgb_becomes_white(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(numpy.array([[[1, 2, 3], [4, 5, 6]]], numpy.uint8)).save(
        path, transparency=(1, 2, 3)
    )
    assert read(path, size=(1, 2)).tolist() == [[[255, 255, 255], [4, 5, 6]]]


def test_cmyk_jpeg_equals_pillows_conversion(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(COLORS).convert("CMYK").save(path)
    numpy.testing.assert_array_equal(read(path), numpy.asarray(Image.open(path).convert("RGB")))


def test_sixteen_bit_grayscale_is_scaled_not_clipped(tmp_path):
    path = tmp_path / "image.png"
    values = numpy.array([[0, 128, 129, 257, 32768, 65535]], numpy.uint16)
    Image.fromarray(values).save(path)
    assert read(path, channels=1, size=(1, 6)).ravel().tolist() == [
        round(value / 257) for value in values.ravel().tolist()
    ]
    assert is_grayscale(path)


def png(bits, color_type, size, rows, *chunks):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", *size, bits, color_type, 0, 0, 0)
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


def test_a_transparent_value_of_sixteen_bit_grayscale_becomes_white(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(
        png(16, 0, (2, 1), [struct.pack(">2H", 257, 514)], (b"tRNS", struct.pack(">H", 257)))
    )
    assert read(path, channels=1, size=(1, 2)).ravel().tolist() == [255, 2]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixel_formats_of_unknown_range_are_an_error(mode):
    with pytest.raises(decode.ImageError, match=f"the range of pixel format {mode} is unknown"):
        decode.convert_channels(Image.new(mode, (2, 2)), 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_exif_orientation_is_applied(tmp_path, orientation, extension):
    path = tmp_path / f"image.{extension}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLORS).save(path, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    numpy.testing.assert_array_equal(
        read(path, size=(upright.height, upright.width)), numpy.asarray(upright)
    )


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    path = tmp_path / "image.gif"
    frames = [Image.new("L", (4, 3), gray) for gray in (10, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert (read(path, channels=1, size=(3, 4)) == 10).all()


def test_pad_equals_pillows_pad(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(COLORS).save(path)
    expected = ImageOps.pad(Image.fromarray(COLORS), (16, 16), Image.Resampling.BICUBIC)
    numpy.testing.assert_array_equal(
        read(path, resize="pad", size=(16, 16)), numpy.asarray(expected)
    )


def test_crop_equals_pillows_fit(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(COLORS).save(path)
    expected = ImageOps.fit(Image.fromarray(COLORS), (4, 4), Image.Resampling.BICUBIC)
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
def test_a_large_jpeg_decoded_at_a_fraction_of_its_size_looks_the_same(
    tmp_path, resize, orientation
):
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = Image.fromarray(COLORS).resize((800, 480), Image.Resampling.BICUBIC)
    smooth.save(path, exif=exif, quality=95)
    full_size = ImageOps.exif_transpose(Image.open(path))
    expected = decode.resize_image(full_size, (32, 48), resize)
    difference = numpy.abs(
        read(path, resize=resize, size=(48, 32)).astype(int) - numpy.asarray(expected)
    )
    assert difference.mean() < 2


def test_a_wrong_extension_does_not_matter(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(GRAYS).save(path, format="PNG")
    numpy.testing.assert_array_equal(read(path, channels=1)[..., 0], GRAYS)
