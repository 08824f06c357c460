"""Files that are not images, damaged or too large are errors that say why."""

import io
import os
import struct

import numpy
import pytest
from PIL import Image
from test_images import is_grayscale, png, read

from imgcls.image import decode


def problem(path, **settings):
    with pytest.raises(decode.ImageError) as caught:
        read(path, **settings)
    return str(caught.value)


def encode(extension):
    stream = io.BytesIO()
    noise = numpy.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(stream, format=extension)
    return stream.getvalue()


@pytest.mark.parametrize("extension", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_a_truncated_image_is_an_error(tmp_path, extension):
    path = tmp_path / f"image.{extension.lower()}"
    data = encode(extension)
    path.write_bytes(data[: len(data) // 2])
    assert problem(path)


@pytest.mark.parametrize("extension", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_random_damage_is_an_image_error_or_harmless(tmp_path, extension):
    path = tmp_path / "image"
    random = numpy.random.default_rng(2)
    for _ in range(40):
        data = bytearray(encode(extension))
        for index in random.integers(0, len(data), 8):
            data[index] = random.integers(256)
        for index in random.integers(0, 64, 2):
            data[index] = random.integers(256)
        path.write_bytes(bytes(data))
        try:
            assert read(path).shape == (6, 8, 3)
        except decode.ImageError:
            continue


def test_errors_say_what_is_wrong_with_a_file(tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert (
        problem(tmp_path / "text.png")
        == "damaged, or not a PNG, JPEG, WebP, BMP, GIF, TIFF or AVIF image"
    )
    assert problem(tmp_path / "empty.png") == "empty file (0 bytes)"
    assert problem(tmp_path / "pipe.png") == "not a regular file"
    assert problem(tmp_path / "dangling.png") == "cannot be read: No such file or directory"
    assert problem(tmp_path / "loop.png") == "cannot be read: Too many levels of symbolic links"


def test_an_image_without_its_palette_is_damaged(tmp_path):
    stream = io.BytesIO()
    Image.new("P", (4, 4)).save(stream, "PNG")
    data = stream.getvalue()
    palette = data.index(b"PLTE") - 4
    length = struct.unpack_from(">I", data, palette)[0] + 12
    (tmp_path / "image.png").write_bytes(data[:palette] + data[palette + length :])
    with pytest.raises(decode.ImageError, match="damaged: its colors are numbers in a palette"):
        is_grayscale(tmp_path / "image.png")


def test_a_decompression_bomb_is_an_error_from_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(8, 0, (60_000, 60_000), []))
    assert (
        problem(path)
        == "too large: 60000x60000 is 3600.0 megapixels, but data.max_megapixels is 100.0"
    )


def test_users_choose_the_limit_on_megapixels(tmp_path):
    path = tmp_path / "image.png"
    Image.new("1", (14_000, 14_000)).save(path)
    assert (
        problem(path)
        == "too large: 14000x14000 is 196.0 megapixels, but data.max_megapixels is 100.0"
    )
    assert is_grayscale(path, 200.0)
