"""Stored images as the model sees them: pixels or encoded, whole or in windows; Pillow is the
oracle.
"""

import io

import numpy
import pytest
from experiments import as_they_are
from PIL import Image
from sklearn.datasets import load_sample_images

from imgcls.datasets import folder
from imgcls.errors import DataError
from imgcls.image import jpeg, jpeg_encode
from imgcls.image.decode import Geometry
from imgcls.store.reader import EncodedReader, PixelReader
from imgcls.verbs import prepare

GEOMETRY = Geometry((24, 32, 3), "crop")
PHOTO = load_sample_images().images[0]


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


def saved(pixels, extension="JPEG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, extension, **options)
    return stream.getvalue()


def pillows_window(data, window, shape):
    top, left, height, width = window
    mode = {1: "L", 3: "RGB"}[shape[2]]
    image = Image.open(io.BytesIO(data)).convert(mode).crop((left, top, left + width, top + height))
    return numpy.asarray(image.resize(shape[1::-1], Image.Resampling.BILINEAR)).reshape(shape)


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


def test_an_encoded_store_holds_the_files_as_they_are(photos):
    store = store_of(photos, storage="encoded")
    reader = store.reader(Geometry((24, 32, 3), "pad"))
    for place, name in enumerate(("a/1.jpg", "a/2.png", "b/3.jpg", "b/4.jpg")):
        assert reader.file(place) == (photos / name).read_bytes()
    assert store.shape is None
    assert reader.sizes(numpy.arange(4)).tolist() == [[427, 640], [40, 60], [640, 427], [427, 640]]
    assert numpy.load(store.folder / "records.npy")["plain"].tolist() == [True, False, False, True]


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_encoded_and_stored_pixels_are_seen_alike(photos, resize, channels):
    geometry = Geometry((24, 32, channels), resize)
    one = store_of(photos, storage="encoded").reader(geometry)
    other = store_of(photos, size=[24, 32], channels=channels, resize=resize).reader(geometry)
    numpy.testing.assert_array_equal(one.read(numpy.arange(4)), other.read(numpy.arange(4)))


def test_one_encoded_store_serves_every_size(photos):
    folders = {
        store_of(photos, storage="encoded", size=size, resize=resize).folder
        for size, resize in (([8, 8], "pad"), ([9, 7], "crop"))
    }
    assert len(folders) == 1


def test_a_short_side_shrinks_what_is_longer_and_keeps_the_rest_as_it_is(photos):
    store = store_of(photos, storage="encoded", short_side=100)
    reader = store.reader(Geometry((24, 32, 3), "pad"))
    assert reader.sizes(numpy.arange(4)).tolist() == [[100, 150], [40, 60], [150, 100], [100, 150]]
    assert reader.file(1) == (photos / "a/2.png").read_bytes()
    expected = Image.open(photos / "a/1.jpg").resize((150, 100), Image.Resampling.BICUBIC)
    shrunk = Image.open(io.BytesIO(reader.file(0)))
    difference = numpy.asarray(shrunk.convert("L")).astype(int) - numpy.asarray(
        expected.convert("L")
    )  # JPEG halves the colours
    assert numpy.abs(difference).mean() < 2
    assert Image.open(io.BytesIO(reader.file(3))).mode == "L"


def test_restart_markers_are_written_into_plain_jpegs_alone(photos):
    store = store_of(photos, storage="encoded", restart_markers=True)
    reader = store.reader(Geometry((24, 32, 3), "pad"))
    assert [jpeg.has_index(reader.file(place)) for place in range(4)] == [True, False, False, True]
    for place, name in ((1, "a/2.png"), (2, "b/3.jpg")):
        assert reader.file(place) == (photos / name).read_bytes()
    assert reader.sizes(numpy.arange(4)).tolist() == [[427, 640], [40, 60], [640, 427], [427, 640]]
    as_it_was, anew = (
        numpy.asarray(Image.open(io.BytesIO(data))).astype(int)
        for data in ((photos / "a/1.jpg").read_bytes(), reader.file(0))
    )
    assert numpy.abs(anew - as_it_was).mean() < 0.08


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_windows_of_files_with_restart_markers_are_what_they_are_without(photos, channels):
    windows = numpy.int32(
        [[40, 90, 170, 200], [5, 10, 20, 30], [7, 8, 300, 310], [17, 33, 100, 50]]
    )
    seen, expected = (
        store_of(photos, storage="encoded", restart_markers=markers)
        .reader(Geometry((24, 32, channels), "pad"))
        .crop(numpy.arange(4), windows, numpy.zeros(4, bool))
        .astype(int)
        for markers in (True, False)
    )
    numpy.testing.assert_array_equal(seen[1:3], expected[1:3])
    assert numpy.abs(seen - expected).mean(axis=(1, 2, 3)).max() < 0.08


def test_an_index_that_comes_with_a_file_is_not_trusted(tmp_path):
    forged = bytearray(jpeg_encode.encode_jpeg(Image.fromarray(PHOTO), True))
    forged[28:60] = bytes(32)
    for name, data in (("a/1.jpg", bytes(forged)), ("b/2.jpg", saved(PHOTO))):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(data)
    reader = store_of(tmp_path / "photos", storage="encoded").reader(Geometry((24, 32, 3), "pad"))
    ((smaller, part),) = jpeg.crop_files(
        [reader.file(0)], numpy.int32([[427, 640]]), numpy.int32([[100, 200, 30, 40]])
    )
    pixels = numpy.asarray(Image.open(io.BytesIO(smaller))).astype(int)
    assert (
        numpy.abs(pixels - PHOTO[part[0] : part[0] + part[2], part[1] : part[1] + part[3]]).mean()
        < 5
    )


def test_a_store_without_restart_markers_is_the_one_that_was_made_before_they_could_be_asked_for(
    photos,
):
    settings = {"name": "folder", "path": str(photos), "storage": "encoded"}
    assert "restart_markers" not in folder.Settings(**settings).get_storage_settings()
    assert (
        folder.Settings(**settings, restart_markers=True).get_storage_settings()["restart_markers"]
        is True
    )


def test_a_short_side_and_restart_markers_go_together(photos):
    reader = store_of(photos, storage="encoded", short_side=100, restart_markers=True).reader(
        Geometry((24, 32, 3), "pad")
    )
    assert [jpeg.has_index(reader.file(place)) for place in range(4)] == [True, False, True, True]
    assert reader.sizes(numpy.arange(4)).tolist() == [[100, 150], [40, 60], [150, 100], [100, 150]]


def test_restart_markers_are_refused_for_pixels():
    with pytest.raises(ValueError, match="restart_markers need storage: encoded"):
        folder.Settings(name="folder", path="photos", restart_markers=True)


def test_stored_pixels_that_are_larger_are_brought_to_the_size_by_pillows_filter(photos):
    store = store_of(photos, size=[24, 32], stored_size=[48, 64], resize="stretch", channels=3)
    reader = store.reader(Geometry((24, 32, 3), "stretch"))
    large = Image.open(photos / "a/1.jpg").resize((64, 48), Image.Resampling.BICUBIC)
    expected = numpy.asarray(large.resize((32, 24), Image.Resampling.BICUBIC)).astype(int)
    assert (
        numpy.abs(reader.read(numpy.array([0]))[0] - expected).mean() < 1
    )  # the JPEG was decoded at a fraction first
    assert reader.sizes(numpy.array([0, 1])).tolist() == [[48, 64], [48, 64]]
    assert reader.larger
    assert not store.reader(Geometry((48, 64, 3), "stretch")).larger


def test_pixels_of_any_number_of_channels_keep_them():
    pixels = numpy.random.default_rng(0).integers(0, 256, (3, 12, 10, 7), numpy.uint8)
    smaller = PixelReader(pixels, Geometry((6, 5, 7), "stretch")).read(numpy.array([2]))[0]
    for channel in range(7):
        expected = Image.fromarray(pixels[2, ..., channel]).resize((5, 6), Image.Resampling.BICUBIC)
        numpy.testing.assert_array_equal(smaller[..., channel], expected)
    numpy.testing.assert_array_equal(as_they_are(pixels).read(numpy.array([1, 0])), pixels[[1, 0]])


WINDOWS = {
    "enlarged": (10, 20, 20, 30),
    "alike": (0, 0, 48, 64),
    "shrunk": (50, 60, 70, 95),
    "twice": (100, 200, 200, 260),
    "whole": (0, 0, 427, 640),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_of_a_jpeg_is_near_pillows_antialiased_one(encoded, window, channels):
    data, shape = saved(PHOTO, quality=95), (48, 64, channels)
    cut = encoded(data, geometry=Geometry(shape, "crop")).crop(
        numpy.array([0]), numpy.array([window]), numpy.array([False])
    )[0]
    difference = numpy.abs(cut.astype(int) - pillows_window(data, window, shape))
    assert difference.mean() < (
        3 if window[2] < 300 else 5
    )  # an eighth of a JPEG is a mean over 8x8, Pillow's filter is wider


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_a_window_of_any_other_image_is_near_pillows_antialiased_one(encoded, window):
    data, shape = saved(PHOTO, "PNG"), (48, 64, 3)
    cut = encoded(data, geometry=Geometry(shape, "crop")).crop(
        numpy.array([0]), numpy.array([window]), numpy.array([False])
    )[0]
    assert numpy.abs(cut.astype(int) - pillows_window(data, window, shape)).mean() < 3


def test_a_window_of_stored_pixels_is_pillows_bilinear_one_where_it_is_enlarged():
    reader = PixelReader(PHOTO[None], Geometry((48, 64, 3), "crop"))
    cut = reader.crop(numpy.array([0]), numpy.array([[10, 20, 30, 40]]), numpy.array([False]))[0]
    expected = Image.fromarray(PHOTO[10:40, 20:60]).resize((64, 48), Image.Resampling.BILINEAR)
    assert numpy.abs(cut.astype(int) - numpy.asarray(expected)).max() <= 1


@pytest.mark.parametrize("extension", ["JPEG", "PNG"])
def test_windows_at_the_edges_and_of_one_pixel_are_cut(encoded, extension):
    reader = encoded(saved(PHOTO, extension))
    windows = numpy.array([[0, 0, 1, 1], [426, 639, 1, 1], [0, 639, 427, 1], [426, 0, 1, 640]])
    assert reader.crop(numpy.zeros(4, numpy.int64), windows, numpy.zeros(4, bool)).shape == (
        4,
        24,
        32,
        3,
    )


@pytest.mark.parametrize("extension", ["JPEG", "pixels"])
def test_windows_that_are_to_be_mirrored_are_and_no_other(encoded, extension):
    reader = PixelReader(PHOTO[None], GEOMETRY) if extension == "pixels" else encoded(saved(PHOTO))
    windows, none = numpy.array([[0, 0, 100, 200], [50, 60, 70, 80]]), numpy.zeros(2, numpy.int64)
    plain, mirrored = (
        reader.crop(none, windows, numpy.array(chosen))
        for chosen in ([False, False], [False, True])
    )
    numpy.testing.assert_array_equal(mirrored, [plain[0], plain[1][:, ::-1]])


def test_a_file_that_was_cut_off_while_it_was_open_is_an_error_and_shows_no_other_image(
    encoded, tmp_path
):
    reader, data = encoded(saved(PHOTO), saved(PHOTO[:90])), (tmp_path / "images.bin").read_bytes()
    whole = numpy.array([0, 1]), numpy.array([[0, 0, 90, 640]] * 2), numpy.array([False, False])
    reader.crop(*whole)
    (tmp_path / "images.bin").write_bytes(data[:-10])
    with pytest.raises(OSError, match=f"ends before byte {len(data):,}"):
        reader.crop(*whole)


def test_no_image_gives_an_empty_batch(encoded):
    reader = encoded(saved(PHOTO))
    none = numpy.array([], numpy.int64)
    assert reader.read(none).shape == (0, 24, 32, 3)
    assert reader.crop(none, numpy.empty((0, 4), numpy.int32), numpy.empty(0, bool)).shape == (
        0,
        24,
        32,
        3,
    )


def test_a_jpeg_that_the_fast_decoder_complains_about_is_cut_all_the_same(encoded):
    """Bytes between the image's segments: Pillow reads over them without a word."""
    data = saved(PHOTO)
    end = data.rindex(b"\xff\xd9")
    strange = data[:end] + b"\x00\x00" + data[end:]
    whole = numpy.array([0]), numpy.array([[0, 0, 427, 640]]), numpy.array([False])
    numpy.testing.assert_array_equal(encoded(strange).crop(*whole), encoded(data).crop(*whole))


def test_a_store_is_verified_byte_for_byte_on_demand(photos, monkeypatch):
    monkeypatch.setattr("imgcls.store.store._ALWAYS_READ", 10_000)
    store = store_of(photos, storage="encoded")
    path = store.folder / "images.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    store.verify()
    with pytest.raises(DataError, match=r"images.bin holds other bytes than were prepared"):
        store.verify(whole=True)
