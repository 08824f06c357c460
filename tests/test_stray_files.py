"""What lies beside the class folders of a folder of images: links to nothing, and loose files;
and names of class folders that look the same."""

import pytest
from test_folder import prepare, put, stored

from imgcls.errors import DataError


@pytest.fixture
def photos(tmp_path):
    """Two classes of two images each."""
    root = tmp_path / "photos"
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        put(root / name)
    return root


def test_a_link_that_breaks_after_the_folder_was_prepared_is_found(photos):
    assert stored(photos).count == 4
    (photos / "horse").symlink_to("/mnt/not-mounted/horse")
    with pytest.raises(DataError, match="horse: a link to /mnt/not-mounted/horse, which does not"):
        stored(photos)


def test_images_beside_class_folders_are_counted_and_belong_to_no_class(photos, capsys):
    for name in ("1.png", "2.png"):
        put(photos / name)
    assert stored(photos).count == 4
    error = capsys.readouterr().err
    assert "2 images beside the class folders belong to no class: 1.png, 2.png" in error


def test_files_beside_the_folders_of_splits_are_counted(tmp_path, capsys):
    for name in ("train/cat/1.png", "train/dog/1.png", "train/0.png", "0.png"):
        put(tmp_path / name)
    (tmp_path / "test.zip").touch()
    assert len(prepare(tmp_path).entries) == 2
    error = capsys.readouterr().err
    assert "2 images beside the class folders belong to no class: 0.png, train/0.png" in error
    assert "ignored 1 file that does not end in" in error
    assert ": .zip 1\n" in error


@pytest.mark.parametrize(
    ("split", "link", "message"),
    [("train", "val", "with class folders, and also val;"), ("test", "train", "no such train/")],
)
def test_a_link_to_nothing_beside_the_folder_of_a_split_is_an_error(tmp_path, split, link, message):
    for name in ("cat/1.png", "dog/1.png"):
        put(tmp_path / split / name)
    (tmp_path / link).symlink_to("gone")
    with pytest.raises(DataError, match=message):
        prepare(tmp_path)
