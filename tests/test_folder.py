"""A folder of images: layouts, classes, and every kind of file that users' folders hold."""

import os
import shutil
from types import SimpleNamespace

import numpy
import pytest
from experiments import stored_pixels
from PIL import Image
from pydantic import ValidationError

from imgcls.datasets import SPLITS, folder
from imgcls.errors import DataError, UserError
from imgcls.image import decode
from imgcls.store import writer
from imgcls.verbs import prepare as prepare_verb


def put(path, shade=100, size=(6, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(shade, int) else "RGB", size, shade).save(path)


def prepare(root, **settings):
    return folder.prepare(
        folder.Settings(name="folder", path=str(root), **{"size": [4, 4], **settings})
    )


def stored(root, **settings):
    data = folder.Settings(
        name="folder",
        path=str(root),
        store_dir=str(root.parent / "stores"),
        **{"size": [4, 4], **settings},
    )
    return prepare_verb.find_or_store(data)[0]


def read(root, **settings):
    """Prepare a folder; return what the store holds of each image."""
    store = stored(root, **settings)
    columns = (
        store.get_ids(numpy.arange(store.count)),
        store.labels,
        store.source_splits,
        stored_pixels(store),
    )
    return [
        SimpleNamespace(id=name, label=label, split=SPLITS[split], image=image)
        for name, label, split, image in zip(*columns, strict=True)
    ]


@pytest.fixture
def photos(tmp_path):
    """Two classes of two grayscale images each, one of them nested."""
    root = tmp_path / "photos"
    for name in ("cat/1.png", "cat/more/2.JPG", "dog/1.bmp", "dog/2.gif"):
        put(root / name)
    return root


def test_each_folder_is_a_class_and_may_hold_folders(photos):
    store = stored(photos)
    assert (store.classes, store.shape, store.count) == (["cat", "dog"], (4, 4, 1), 4)
    found = [(record.id, record.label, record.split) for record in read(photos)]
    assert found == [
        (name, label, "train")
        for name, label in [
            ("cat/1.png", 0),
            ("cat/more/2.JPG", 0),
            ("dog/1.bmp", 1),
            ("dog/2.gif", 1),
        ]
    ]


def test_split_folders_become_splits_and_a_missing_class_shifts_no_label(tmp_path, capsys):
    for name in (
        "train/cat/1.png",
        "train/dog/1.png",
        "train/eel/1.png",
        "validation/eel/1.png",
        "test/cat/1.png",
        "test/dog/1.png",
    ):
        put(tmp_path / name)
    found = {(record.id, record.label, record.split) for record in read(tmp_path)}
    assert ("validation/eel/1.png", 2, "validation") in found
    assert ("test/dog/1.png", 1, "test") in found
    assert ("train/cat/1.png", 0, "train") in found
    error = capsys.readouterr().err
    assert "class 'dog' has no folder in validation" in error
    assert "class 'eel' has no folder in test" in error


def test_images_are_sorted_by_the_bytes_of_their_ids_and_have_their_own_pixels(tmp_path):
    names = ["Z/1.png", "a/10.png", "a/9.png", "a/B.png", "a/b.png", "é/1.png"]
    for index, name in enumerate(names):
        put(tmp_path / name, shade=index * 10)
    records = read(tmp_path, resize="stretch")
    assert [record.id for record in records] == names == sorted(names, key=str.encode)
    assert (
        [record.image.min() for record in records]
        == [record.image.max() for record in records]
        == [0, 10, 20, 30, 40, 50]
    )


def test_a_class_called_train_is_a_class(tmp_path):
    for name in ("bus/1.png", "train/1.png"):
        put(tmp_path / name)
    assert prepare(tmp_path).classes == ["bus", "train"]


def test_a_single_color_image_makes_the_channels_three(photos, capsys):
    assert stored(photos).shape == (4, 4, 1)
    assert "1 channel, since every image is grayscale" in capsys.readouterr().err
    put(photos / "dog/3.png", shade=(1, 2, 3))
    assert stored(photos).shape == (4, 4, 3)
    assert "3 channels, since dog/3.png is in color" in capsys.readouterr().err
    assert stored(photos, channels=1).shape == (4, 4, 1)


def test_images_are_resized_to_size(tmp_path):
    put(tmp_path / "a/1.png", shade=255, size=(40, 10))
    put(tmp_path / "b/1.png", shade=255)
    padded, stretched = (
        read(tmp_path, size=[8, 16], resize=resize)[0].image for resize in ("pad", "stretch")
    )
    assert padded.shape == (8, 16, 1)
    assert (padded == 255).sum() == 16 * 4
    assert (stretched == 255).all()


def test_files_that_are_not_images_are_ignored_and_counted(photos, capsys):
    for name in (
        "cat/readme.txt",
        "cat/b.TXT",
        "dog/Thumbs.db",
        "dog/.hidden.png",
        "dog/noextension",
    ):
        (photos / name).write_text("x")
    put(photos / ".git/objects/1.png")
    assert len(read(photos)) == 4
    assert "ignored 6 files" in (error := capsys.readouterr().err)
    assert ": .db 1, .txt 2, hidden 2, without extension 1" in error


@pytest.fixture
def broken(photos):
    """The photos, and one bad entry of each kind."""
    (photos / "cat/empty.png").touch()
    (photos / "cat/text.png").write_text("not an image")
    data = (photos / "dog/1.bmp").read_bytes()
    (photos / "dog/half.bmp").write_bytes(data[: len(data) // 2])
    put(photos / "dog/huge.png", size=(1500, 1000))
    (photos / "cat/gone.png").symlink_to("nowhere.png")
    (photos / "cat/circle").symlink_to(photos)
    (photos / "cat/more/old").symlink_to("/mnt/not-mounted/old")
    (photos / "horse").symlink_to("/mnt/not-mounted/horse")
    return photos


PROBLEMS = {
    "cat/circle": "a symbolic link to a folder above it",
    "cat/more/old": "a link to /mnt/not-mounted/old, which does not exist",
    "horse": "a link to /mnt/not-mounted/horse, which does not exist",
    "cat/empty.png": "empty file (0 bytes)",
    "cat/gone.png": "cannot be read: No such file or directory",
    "cat/text.png": "damaged, or not a PNG, JPEG, WebP, BMP, GIF, TIFF or AVIF image",
    "dog/half.bmp": "cannot be read: image file is truncated",
    "dog/huge.png": "too large: 1500x1000 is 1.5 megapixels, but data.max_megapixels is 1.0",
}


def test_fail_lists_every_bad_image(broken):
    with pytest.raises(DataError) as caught:
        read(broken, max_megapixels=1.0)
    lines = str(caught.value).splitlines()
    assert lines[0] == "8 bad images:"
    for line, (name, problem) in zip(lines[1:-1], PROBLEMS.items(), strict=True):
        assert line.startswith(f"  {name}: {problem}")
    assert lines[-1].endswith("set data.on_bad_image: skip to leave them out")


def test_skip_stores_the_good_images_and_lists_the_bad_ones(broken, capsys):
    store = stored(broken, on_bad_image="skip", max_megapixels=1.0)
    assert [image.id for image in store.manifest.bad_images] == list(PROBLEMS)
    assert store.count == 4
    error = capsys.readouterr().err
    assert all(name in error for name in PROBLEMS)


def test_only_the_first_twenty_bad_images_are_listed(photos):
    for number in range(25):
        (photos / f"cat/{number:02d}.png").touch()
    with pytest.raises(DataError, match=r"(?s)25 bad images.*19.png: empty.*and 5 more") as caught:
        read(photos)
    assert "20.png" not in str(caught.value)


def test_a_file_name_that_is_not_utf8_is_stored_with_its_bytes(photos):
    put(photos / "cat/x.png")
    os.rename(os.fsencode(photos / "cat/x.png"), os.fsencode(photos / "cat") + b"/\xff.png")
    assert "cat/\udcff.png" in [record.id for record in read(photos)]


def test_a_class_name_that_is_not_utf8_is_an_error(photos):
    os.mkdir(os.fsencode(photos) + b"/\xff")
    with pytest.raises(DataError, match=r"not printable UTF-8 text: '\\udcff'; rename them"):
        prepare(photos)


def test_links_to_files_and_folders_are_followed(photos, tmp_path):
    put(tmp_path / "elsewhere/5.png")
    (photos / "cat/linked").symlink_to(tmp_path / "elsewhere")
    (photos / "dog/3.png").symlink_to(tmp_path / "elsewhere/5.png")
    assert {"cat/linked/5.png", "dog/3.png"} < {record.id for record in read(photos)}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no class folders"),
        (["1.png", "2.png"], "holds no class folders"),
        (["cat/1.png"], "holds one class, 'cat'"),
        (["train/cat/1.png"], "holds one class, 'cat'"),
        (["cat/a.txt", "dog/b.txt"], "holds no images"),
        (["train/1.png", "test/2.png"], "test, train hold no class folders"),
        (["train/cat/1.png", "train/dog/1.png", "val/cat/1.png"], "and also val;"),
        (["test/cat/1.png", "test/dog/1.png"], "but no such train/"),
    ],
)
def test_a_wrong_layout_is_an_error_that_shows_the_right_ones(tmp_path, files, message):
    for name in files:
        (
            put(tmp_path / name)
            if name.endswith("png")
            else ((tmp_path / name).parent.mkdir(), (tmp_path / name).touch())
        )
    with pytest.raises(DataError) as caught:
        prepare(tmp_path)
    assert message in str(caught.value)


def test_a_missing_folder_and_a_file_are_different_errors(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="nowhere does not exist"):
        prepare(tmp_path / "nowhere")
    with pytest.raises(DataError, match="file is not a folder"):
        prepare(tmp_path / "file")


@pytest.mark.parametrize("store", [".", "stores/data"])
def test_a_store_among_the_class_folders_is_an_error(photos, store):
    with pytest.raises(UserError, match="would count as a class"):
        prepare(photos, store_dir=str(photos / store))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [4]},
        {"size": [4, 0]},
        {"size": [4, 4, 3]},
        {"channels": 2},
        {"resize": "zoom"},
        {"max_megapixels": 0},
    ],
)
def test_invalid_settings_are_errors(wrong):
    with pytest.raises(ValidationError):
        folder.Settings(name="folder", path="x", **wrong)
    assert wrong.keys() <= folder.Settings.model_fields.keys()


def test_a_file_that_vanishes_after_the_listing_is_a_bad_image(photos):
    data = folder.Settings(
        name="folder", path=str(photos), store_dir=str(photos.parent / "stores"), channels=1
    )
    source = folder.prepare(data)
    shutil.rmtree(photos / "dog")
    store, _ = writer.find_or_write(source, data)
    bad = [(image.id, image.problem) for image in store.manifest.bad_images]
    assert bad == [
        (f"dog/{name}", "cannot be read: No such file or directory") for name in ("1.bmp", "2.gif")
    ]


def test_every_extension_is_read(tmp_path):
    for number, extension in enumerate(decode.EXTENSIONS):
        put(tmp_path / f"{number % 2}" / f"{number}{extension}")
    records = read(tmp_path, size=[5, 6])
    assert len(records) == len(decode.EXTENSIONS)
    assert all(numpy.abs(record.image.astype(int) - 100).max() <= 1 for record in records)
