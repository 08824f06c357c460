"""Image statistics agree with numpy, scipy and Pillow, and are the same for pixels and files."""

import io

import numpy
import pytest
from PIL import Image
from scipy.fft import dct
from sklearn.datasets import load_sample_images

from imgcls.image import decode, image_statistics
from imgcls.store.storage import EncodedStorage

PHOTOS = load_sample_images().images


def measure(pixels, extension="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, extension, **options)
    with decode.open_image(stream.getvalue(), 100.0) as file:
        return image_statistics.measure_image(file, EncodedStorage().decode)[0]


def distance(one, other):
    hashes = image_statistics.compute_perceptual_hashes(numpy.stack([one.gray, other.gray]))
    return int(numpy.bitwise_count(hashes[0] ^ hashes[1]))


def test_the_hash_is_the_sign_of_the_lowest_frequencies_relative_to_their_median():
    gray = numpy.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(numpy.uint8)
    for image, found in zip(
        gray, image_statistics.compute_perceptual_hashes(gray).tolist(), strict=True
    ):
        low = dct(dct(image.astype(float), axis=0), axis=1)[:8, :8].ravel()
        expected = sum(int(value > numpy.median(low)) << i for i, value in enumerate(low))
        assert found == expected


@pytest.mark.parametrize("shape", [(64, 96, 3), (8, 8, 1), (28, 28, 1), (50, 33, 3)])
def test_pixels_and_files_of_the_same_image_have_the_same_statistics(shape):
    pixels = numpy.asarray(Image.fromarray(PHOTOS[0]).resize((shape[1], shape[0])))[..., : shape[2]]
    of_file, (of_pixels,) = measure(pixels.squeeze()), image_statistics.measure_pixels(pixels[None])
    assert numpy.abs(of_file.gray.astype(int) - of_pixels.gray).max() <= 2
    numpy.testing.assert_allclose(of_file.mean, of_pixels.mean, atol=1)
    assert (of_file.height, of_file.width, of_file.grayscale) == (
        of_pixels.height,
        of_pixels.width,
        of_pixels.grayscale,
    )


def test_the_mean_is_per_color_for_rgb_and_over_all_channels_otherwise():
    pixels = numpy.random.default_rng(0).integers(0, 256, (2, 10, 9, 3), numpy.uint8)
    numpy.testing.assert_allclose(
        [statistics.mean for statistics in image_statistics.measure_pixels(pixels)],
        pixels.mean(axis=(1, 2)),
        rtol=1e-6,
    )
    many = numpy.random.default_rng(0).integers(0, 256, (2, 10, 9, 5), numpy.uint8)
    for statistics, image in zip(image_statistics.measure_pixels(many), many, strict=True):
        assert statistics.mean == pytest.approx([image.mean()] * 3)


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: image.resize((400, 260)),
        lambda image: Image.fromarray(numpy.asarray(image) // 2 + 60),
        lambda image: image.convert("L").convert("RGB"),
    ],
    ids=["resized", "less contrast", "grayscale"],
)
@pytest.mark.parametrize("photo", [0, 1])
def test_copies_of_a_photo_have_similar_hashes_and_other_photos_do_not(photo, copy):
    original = measure(PHOTOS[photo])
    assert distance(original, measure(numpy.asarray(copy(Image.fromarray(PHOTOS[photo]))))) <= 3
    assert distance(original, measure(PHOTOS[photo], "JPEG", quality=40)) <= 3
    assert distance(original, measure(PHOTOS[1 - photo])) > 16


def test_the_table_has_a_row_for_each_image():
    measured = [measure(PHOTOS[0][:40, :50]), measure(PHOTOS[0][:40, :50, 0], "JPEG")]
    table = image_statistics.make_table(measured, [b"a" * 16, b"b" * 16])
    assert table.dtype == numpy.dtype(image_statistics.COLUMNS)
    assert [
        table[name].tolist()
        for name in ("height", "width", "format", "mode", "grayscale", "frames")
    ] == [
        [40, 40],
        [50, 50],
        [b"PNG", b"JPEG"],
        [b"RGB", b"L"],
        [False, True],
        [1, 1],
    ]
    assert [bytes(digest) for digest in table["digest"]] == [b"a" * 16, b"b" * 16]
    blocks = measured[0].gray.reshape(8, 4, 8, 4).mean(axis=(1, 3)).round()
    numpy.testing.assert_array_equal(table["thumbnail"][0], blocks)
    assert len(image_statistics.make_table([], [])) == 0


def test_the_frames_of_an_animation_are_counted():
    stream = io.BytesIO()
    frames = [Image.fromarray(PHOTOS[0][i : i + 40, :50]) for i in range(0, 120, 40)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    with decode.open_image(stream.getvalue(), 100.0) as file:
        assert image_statistics.measure_image(file, EncodedStorage().decode)[0].frames == 3
