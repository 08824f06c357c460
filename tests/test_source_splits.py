"""A split that the source has is used, or an error: it is never taken from train in silence."""

import shutil

import numpy
import pytest
from PIL import Image
from test_imagenet import TRAIN, put

from imgcls.datasets import arrays, folder, imagenet, manifest
from imgcls.errors import DataError
from imgcls.verbs import prepare as prepare_verb

HELD_OUT = ["validation", "test"]


def paint(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (5, 5), shade).save(path)


@pytest.fixture
def photos(tmp_path):
    """Two classes with a folder for each of the three splits."""
    counts = {"train": 8, "validation": 2, "test": 2}
    for start, (split, count) in zip((0, 100, 200), counts.items(), strict=True):
        for label, name in enumerate(("cat", "dog")):
            for number in range(count):
                shade = start + 10 * number + 5 * label
                paint(tmp_path / "photos" / split / name / f"{number}.png", shade)
    return tmp_path / "photos"


def prepare(photos, **changes):
    """Prepare a folder; return the ids of the images of each split."""
    settings = {"path": str(photos), "store_dir": str(photos.parent / "data"), "size": [4, 4]}
    return prepare_settings(folder.Settings(name="folder", **settings | changes))


def prepare_settings(data):
    found, _ = prepare_verb.find_or_store(data)
    split = prepare_verb.assign.assign_splits(found, data, seed=0)
    return {name: found.get_ids(split.get_indices(name)) for name in ("train", *HELD_OUT)}


def link_to_nothing(path):
    path.symlink_to("/mnt/not-mounted/photos")


def make_class_folders(path):
    for name in ("cat", "dog"):
        (path / name).mkdir(parents=True)


def save_photoshop_files(path):
    make_class_folders(path)
    for name in ("cat", "dog"):
        (path / name / "0.psd").write_bytes(b"8BPS")


def save_flat(path):
    for number in range(6):
        paint(path / f"{number}.png", number)


def link_to_itself(path):
    make_class_folders(path)
    (path / "cat/again").symlink_to(path)


DAMAGE = {
    link_to_nothing: "is a link to /mnt/not-mounted/photos, which does not exist",
    lambda path: path.mkdir(): "is empty",
    lambda path: path.write_text("x"): "is not a folder",
    make_class_folders: "hold no images",
    save_photoshop_files: "hold no images, but files: .psd 2",
    save_flat: "holds no class folders, but files: .png 6",
    link_to_itself: "hold no images, but {split}/cat/again: a symbolic link to a folder above it",
}


@pytest.mark.parametrize("split", HELD_OUT)
@pytest.mark.parametrize("damage", DAMAGE, ids=list(DAMAGE.values()))
@pytest.mark.parametrize("on_bad_image", ["fail", "skip"])
def test_a_folder_of_a_split_without_images_is_an_error_with_the_reason(
    photos, split, damage, on_bad_image
):
    shutil.rmtree(photos / split)
    damage(photos / split)
    with pytest.raises(DataError) as caught:
        prepare(photos, on_bad_image=on_bad_image)
    first, reason, advice = str(caught.value).splitlines()
    assert first == f"the source has {split}, but no image of it can be used:"
    assert str(photos / split) in reason
    assert DAMAGE[damage].format(split=split) in reason
    assert "remove the split from it" in advice
    assert f"become {split} (data.{split})" in advice
    assert not (photos.parent / "data").exists()  # no hour is spent on decoding first


@pytest.mark.parametrize("split", HELD_OUT)
def test_a_split_that_the_source_does_not_have_is_taken_from_train(photos, split):
    shutil.rmtree(photos / split)
    found = prepare(photos)
    assert found[split]
    assert all(name.startswith("train/") for name in found[split])


def test_both_splits_are_named_at_once_and_train_is_one_too(photos):
    for split in ("train", "validation", "test"):
        shutil.rmtree(photos / split)
        save_photoshop_files(photos / split)
    paint(photos / "test/cat/1.png", 5)
    with pytest.raises(DataError, match="the source has train and validation, but no image of"):
        prepare(photos)


def test_a_fold_replaces_the_test_split_but_not_the_validation_split(photos):
    shutil.rmtree(photos / "test")
    save_flat(photos / "test")
    assert len(prepare(photos, fold="1/2")["test"]) == 8
    shutil.rmtree(photos / "validation")
    with_classes = photos / "validation"
    make_class_folders(with_classes)
    with pytest.raises(DataError, match="the source has validation, but no image of it"):
        prepare(photos, fold="1/2")


def test_a_file_of_splits_replaces_all_of_them(photos):
    splits = photos.parent / "splits.csv"
    for split in HELD_OUT:
        shutil.rmtree(photos / split)
        save_flat(photos / split)
    rows = [f"train/{name}/{number}.png" for name in ("cat", "dog") for number in range(8)]
    assigned = [f"{row},{'test' if row.endswith('0.png') else 'train'}" for row in rows]
    splits.write_text("\n".join(["id,split", *assigned]) + "\n")
    found = prepare(photos, splits_file=str(splits))
    assert found["test"] == ["train/cat/0.png", "train/dog/0.png"]
    assert found["validation"] == []


def spoil(photos, split):
    for path in (photos / split).rglob("*.png"):
        path.write_bytes(b"not an image")


@pytest.mark.parametrize("split", HELD_OUT)
def test_skipping_all_images_of_a_split_is_an_error_that_says_so(photos, split):
    spoil(photos, split)
    reason = (
        rf"{split}: data\.on_bad_image: skip left out all of its 4 images, such as"
        rf" {split}/cat/0\.png: damaged, or not a PNG"
    )
    for _ in range(2):  # the second time the store exists
        with pytest.raises(DataError, match=reason):
            prepare(photos, on_bad_image="skip")
    with pytest.raises(DataError, match="4 bad images"):
        prepare(photos)


def test_skipping_some_images_of_a_split_keeps_the_others(photos):
    (photos / "test/cat/0.png").write_bytes(b"")
    found = prepare(photos, on_bad_image="skip")
    assert found["test"] == ["test/cat/1.png", "test/dog/0.png", "test/dog/1.png"]


def test_a_split_that_breaks_after_it_was_prepared_is_an_error_then(photos):
    assert len(prepare(photos)["test"]) == 4
    (photos / "test").rename(photos.parent / "aside")
    link_to_nothing(photos / "test")
    with pytest.raises(DataError, match="the source has test"):
        prepare(photos)


@pytest.mark.parametrize("split", HELD_OUT)
def test_a_listed_split_of_missing_files_is_an_error(photos, split):
    rows = [f"{path.relative_to(photos)},{path.parent.name}" for path in photos.rglob("*.png")]
    lines = [f"{row},{row.partition('/')[0]}" for row in rows]
    (photos / "list.csv").write_text("\n".join(["path,label,split", *lines]) + "\n")
    shutil.rmtree(photos / split)
    settings = {"path": str(photos / "list.csv"), "store_dir": str(photos.parent / "data")}
    data = manifest.Settings(name="manifest", size=[4, 4], **settings)
    with pytest.raises(DataError, match=f"there is no file '{split}/"):
        prepare_settings(data)
    with pytest.raises(
        DataError, match=rf"{split}: data\.on_bad_image: skip left out all of its 4"
    ):
        prepare_settings(data.model_copy(update={"on_bad_image": "skip"}))


@pytest.mark.parametrize("split", HELD_OUT)
def test_an_array_without_images_is_an_error(tmp_path, split):
    content = {
        "x_train": numpy.zeros((8, 2, 2), numpy.uint8),
        "y_train": numpy.arange(8) % 2,
        "x": numpy.zeros((0, 2, 2), numpy.uint8),
        "y": numpy.zeros(0, numpy.int64),
    }
    numpy.savez(tmp_path / "arrays.npz", **content)
    data = arrays.Settings(
        name="arrays",
        path=str(tmp_path / "arrays.npz"),
        store_dir=str(tmp_path / "data"),
        images={"train": "x_train", split: "x"},
        labels={"train": "y_train", split: "y"},
    )
    with pytest.raises(DataError, match=f"{split}: the array 'x' holds no images"):
        prepare_settings(data)


def empty_folder(path):
    (path / "val").mkdir()


def folder_of_other_names(path):
    """Lay out val/ as Tiny ImageNet does."""
    put(path / "val/images", {"val_0.JPEG": b"x"})


def classes_without_training_images(path):
    put(path / "val/n99999999", {"ILSVRC2012_val_00000001.JPEG": b"x"})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (empty_folder, "val holds no images, neither directly nor in folders named by WordNet ids"),
        (folder_of_other_names, "val holds no images, neither directly"),
        (
            classes_without_training_images,
            "none of its 1 images is of a class with training images",
        ),
    ],
)
def test_imagenet_without_validation_images_is_an_error(tmp_path, make, reason):
    root = tmp_path / "imagenet"
    put(root / "train", TRAIN)
    make(root)
    settings = {"path": str(root), "store_dir": str(tmp_path / "data"), "size": [8, 8]}
    with pytest.raises(DataError, match=reason):
        prepare_settings(imagenet.Settings(name="imagenet", **settings))
    found = prepare_settings(imagenet.Settings(name="imagenet", **settings, fold="1/3"))
    assert len(found["test"]) == 4


def test_a_class_of_imagenet_behind_a_link_to_nothing_is_an_error(tmp_path):
    root = tmp_path / "imagenet"
    put(root / "train", TRAIN)
    link_to_nothing(root / "train/n00000001")
    settings = {"path": str(root), "store_dir": str(tmp_path / "data")}
    (root / "val").mkdir()
    with pytest.raises(DataError, match="links to folders that do not exist: n00000001; repair"):
        prepare_settings(imagenet.Settings(name="imagenet", **settings))
