"""Stores of encoded files: as they are, shrunk, or with restart markers; Pillow is the oracle."""

import io

import numpy
import pytest
from PIL import Image
from sample_photo import PHOTO, encode

from imgcls.datasets import folder
from imgcls.errors import DataError
from imgcls.image import jpeg, jpeg_encode
from imgcls.image.decode import Geometry
from imgcls.verbs import prepare


def store_of(photos, **settings):
    data = folder.Settings(
        name="folder", path=str(photos), store_dir=str(photos.parent / "data"), **settings
    )
    return prepare.find_or_store(data)[0]


@pytest.fixture
def photos(tmp_path):
    """A JPEG, a small PNG with transparency, a JPEG that lies on its side, and a grey one, in two
    classes.
    """
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, pixels, options in (
        ("a/1.jpg", PHOTO, {"quality": 90}),
        ("a/2.png", numpy.dstack([PHOTO[:40, :60], PHOTO[:40, :60, 0]]), {}),
        ("b/3.jpg", PHOTO, {"exif": exif}),
        ("b/4.jpg", PHOTO[..., 1], {}),
    ):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / name, **options)
    return tmp_path / "photos"


def test_an_encoded_store_contains_the_files_unchanged(photos):
    store = store_of(photos, storage="encoded")
    reader = store.open_reader(Geometry((24, 32, 3), "pad"))
    for place, name in enumerate(("a/1.jpg", "a/2.png", "b/3.jpg", "b/4.jpg")):
        assert reader.read_file(place) == (photos / name).read_bytes()
    assert store.shape is None
    assert reader.get_sizes(numpy.arange(4)).tolist() == [
        [427, 640],
        [40, 60],
        [640, 427],
        [427, 640],
    ]
    assert numpy.load(store.folder / "records.npy")["plain"].tolist() == [True, False, False, True]


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_encoded_and_pixel_stores_give_the_same_images(photos, resize, channels):
    geometry = Geometry((24, 32, channels), resize)
    one = store_of(photos, storage="encoded").open_reader(geometry)
    other = store_of(photos, size=[24, 32], channels=channels, resize=resize).open_reader(geometry)
    numpy.testing.assert_array_equal(one.read(numpy.arange(4)), other.read(numpy.arange(4)))


def test_one_encoded_store_serves_every_size(photos):
    folders = {
        store_of(photos, storage="encoded", size=size, resize=resize).folder
        for size, resize in (([8, 8], "pad"), ([9, 7], "crop"))
    }
    assert len(folders) == 1


def test_short_side_shrinks_only_larger_images(photos):
    store = store_of(photos, storage="encoded", short_side=100)
    reader = store.open_reader(Geometry((24, 32, 3), "pad"))
    assert reader.get_sizes(numpy.arange(4)).tolist() == [
        [100, 150],
        [40, 60],
        [150, 100],
        [100, 150],
    ]
    assert reader.read_file(1) == (photos / "a/2.png").read_bytes()
    expected = Image.open(photos / "a/1.jpg").resize((150, 100), Image.Resampling.BICUBIC)
    shrunk = Image.open(io.BytesIO(reader.read_file(0)))
    difference = numpy.asarray(shrunk.convert("L")).astype(int) - numpy.asarray(
        expected.convert("L")
    )  # JPEG halves the colours
    assert numpy.abs(difference).mean() < 2
    assert Image.open(io.BytesIO(reader.read_file(3))).mode == "L"


def test_restart_markers_are_written_only_to_plain_jpegs(photos):
    store = store_of(photos, storage="encoded", restart_markers=True)
    reader = store.open_reader(Geometry((24, 32, 3), "pad"))
    assert [jpeg.has_index(reader.read_file(place)) for place in range(4)] == [
        True,
        False,
        False,
        True,
    ]
    for place, name in ((1, "a/2.png"), (2, "b/3.jpg")):
        assert reader.read_file(place) == (photos / name).read_bytes()
    assert reader.get_sizes(numpy.arange(4)).tolist() == [
        [427, 640],
        [40, 60],
        [640, 427],
        [427, 640],
    ]
    as_it_was, anew = (
        numpy.asarray(Image.open(io.BytesIO(data))).astype(int)
        for data in ((photos / "a/1.jpg").read_bytes(), reader.read_file(0))
    )
    assert numpy.abs(anew - as_it_was).mean() < 0.08


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_restart_markers_do_not_change_crops(photos, channels):
    windows = numpy.int32(
        [[40, 90, 170, 200], [5, 10, 20, 30], [7, 8, 300, 310], [17, 33, 100, 50]]
    )
    seen, expected = (
        store_of(photos, storage="encoded", restart_markers=markers)
        .open_reader(Geometry((24, 32, channels), "pad"))
        .crop(numpy.arange(4), windows, numpy.zeros(4, bool))
        .astype(int)
        for markers in (True, False)
    )
    numpy.testing.assert_array_equal(seen[1:3], expected[1:3])
    assert numpy.abs(seen - expected).mean(axis=(1, 2, 3)).max() < 0.08


def test_an_index_in_a_source_file_is_not_trusted(tmp_path):
    forged = bytearray(jpeg_encode.encode_jpeg(Image.fromarray(PHOTO), True))
    forged[28:60] = bytes(32)
    for name, data in (("a/1.jpg", bytes(forged)), ("b/2.jpg", encode(PHOTO))):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(data)
    reader = store_of(tmp_path / "photos", storage="encoded").open_reader(
        Geometry((24, 32, 3), "pad")
    )
    ((smaller, part),) = jpeg.crop_files(
        [reader.read_file(0)], numpy.int32([[427, 640]]), numpy.int32([[100, 200, 30, 40]])
    )
    pixels = numpy.asarray(Image.open(io.BytesIO(smaller))).astype(int)
    assert (
        numpy.abs(pixels - PHOTO[part[0] : part[0] + part[2], part[1] : part[1] + part[3]]).mean()
        < 5
    )


def test_the_key_of_a_store_without_restart_markers_has_not_changed(
    photos,
):
    settings = {"name": "folder", "path": str(photos), "storage": "encoded"}
    assert "restart_markers" not in folder.Settings(**settings).get_storage_settings()
    assert (
        folder.Settings(**settings, restart_markers=True).get_storage_settings()["restart_markers"]
        is True
    )


def test_short_side_and_restart_markers_can_be_combined(photos):
    reader = store_of(photos, storage="encoded", short_side=100, restart_markers=True).open_reader(
        Geometry((24, 32, 3), "pad")
    )
    assert [jpeg.has_index(reader.read_file(place)) for place in range(4)] == [
        True,
        False,
        True,
        True,
    ]
    assert reader.get_sizes(numpy.arange(4)).tolist() == [
        [100, 150],
        [40, 60],
        [150, 100],
        [100, 150],
    ]


def test_restart_markers_are_rejected_for_pixels():
    with pytest.raises(ValueError, match="restart_markers needs storage: encoded"):
        folder.Settings(name="folder", path="photos", restart_markers=True)


def test_larger_stored_pixels_are_resized_with_pillows_filter(photos):
    store = store_of(photos, size=[24, 32], stored_size=[48, 64], resize="stretch", channels=3)
    reader = store.open_reader(Geometry((24, 32, 3), "stretch"))
    large = Image.open(photos / "a/1.jpg").resize((64, 48), Image.Resampling.BICUBIC)
    expected = numpy.asarray(large.resize((32, 24), Image.Resampling.BICUBIC)).astype(int)
    assert (
        numpy.abs(reader.read(numpy.array([0]))[0] - expected).mean() < 1
    )  # the JPEG was decoded at a fraction first
    assert reader.get_sizes(numpy.array([0, 1])).tolist() == [[48, 64], [48, 64]]
    assert reader.needs_resize
    assert not store.open_reader(Geometry((48, 64, 3), "stretch")).needs_resize


def test_large_files_are_verified_on_demand(photos):
    store = store_of(photos, storage="encoded")
    path = store.folder / "images.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    store.verify(max_bytes=10_000)
    with pytest.raises(DataError, match=r"the SHA-256 of .*images.bin has changed"):
        store.verify(max_bytes=None)
