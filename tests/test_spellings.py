"""Names of classes and layouts: spellings of one class, and folders that are not classes."""

import json
import unicodedata

import pytest
from experiments import command, write_experiment
from PIL import Image

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def put(folder, *names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((9, 9), 50 + number).save(path)


def put_classes(folder, *classes, count=5):
    put(folder, *(f"{name}/{number}.png" for name in classes for number in range(count)))


def prepare(tmp_path, **changes):
    """Return the exit code, stdout and stderr of `prepare` on photos/."""
    data = {"name": "folder", "path": str(tmp_path / "photos"), "size": [8, 8]}
    data["store_dir"] = str(tmp_path / "data")
    return command(
        "prepare",
        write_experiment(tmp_path, {"name": "e", "data": data | changes, "model": {"name": "cnn"}}),
    )


@pytest.mark.parametrize(
    "names",
    [(NFC, NFD), ("café", "café "), ("café", " café"), (NFC, NFD, f"{NFD}\u3000")],
)
def test_spellings_in_another_form_or_with_edge_spaces_are_one_class(tmp_path, names):
    put_classes(tmp_path / "photos", *names, "tea")
    code, _, error = prepare(tmp_path)
    assert code == 0, error
    assert f"class 'café' is written in {len(names)} ways" in error
    assert all(ascii(name) in error for name in names)
    manifest = json.loads(next((tmp_path / "data").glob("folder-*/manifest.json")).read_text())
    assert (manifest["classes"], manifest["count"]) == (["café", "tea"], 5 * len(names) + 5)


def test_splits_whose_classes_are_spelt_in_another_form_share_labels(tmp_path):
    put_classes(tmp_path / "photos/train", NFC, "tea")
    put_classes(tmp_path / "photos/test", NFD, "tea")
    code, _, error = prepare(tmp_path)
    assert (code, "has no folder" in error) == (0, False)


@pytest.mark.parametrize("name", ["می‌خواهم", "कर्‍य", "中　国", "ខ្មែរ\u200bខ", "👩‍🌾", "a\u00a0b"])
def test_joiners_and_wide_spaces_are_spelling(tmp_path, name):
    put_classes(tmp_path / "photos", name, "tea")
    assert prepare(tmp_path)[0] == 0


@pytest.mark.parametrize("name", ["a\x07b", "a\nb", "a\u202eb", "\ufeffa", " "])
def test_control_characters_in_the_name_of_a_class_are_refused(tmp_path, name):
    put_classes(tmp_path / "photos", name, "tea")
    code, _, error = prepare(tmp_path)
    assert (code, "are not printable UTF-8 text" in error) == (3, True)
    assert not list((tmp_path / "data").glob("folder-*"))


def test_names_that_differ_in_case_are_a_finding_and_two_classes(tmp_path):
    put_classes(tmp_path / "photos", "Cat", "cat", "dog")
    code, out, _ = prepare(tmp_path)
    assert code == 0
    assert "2 classes whose names differ only in case, and which are not merged: Cat, cat" in (
        " ".join(out.split())
    )


@pytest.mark.parametrize(
    "folder", ["@eaDir", "__MACOSX", "#recycle", ".thumbnails", "lost+found", "$RECYCLE.BIN"]
)
def test_folders_of_systems_are_no_classes_and_are_counted(tmp_path, folder):
    put_classes(tmp_path / "photos", "cat", "dog")
    put(tmp_path / "photos", f"{folder}/0.png", f"cat/{folder}/0.png/THUMB.jpg")
    code, out, error = prepare(tmp_path)
    assert (code, "ignored 2 files" in error) == (0, True)
    assert "10" in out


@pytest.mark.parametrize(
    ("train", "test"), [("training", "testing"), ("Train", "Val"), ("trn", "x")]
)
def test_splits_under_other_names_are_refused_with_the_names_to_give(tmp_path, train, test):
    put_classes(tmp_path / "photos", *(f"{s}/{c}" for s in (train, test) for c in ("cat", "dog")))
    code, _, error = prepare(tmp_path)
    assert (code, f"{train} to train" in error) == (3, True)
    assert "(cat, dog) and no images" in error


def test_folders_below_that_recur_in_each_class_are_noted(tmp_path):
    put_classes(tmp_path / "photos", *(f"{s}/{c}" for s in ("ours", "theirs") for c in "ab"))
    code, _, error = prepare(tmp_path)
    assert (code, "each holds folders of the same names (a, b)" in error) == (0, True)


def test_a_flat_test_folder_is_for_predict(tmp_path):
    put_classes(tmp_path / "photos/train", "cat", "dog")
    put(tmp_path / "photos/test", "1.png", "2.png")
    code, _, error = prepare(tmp_path)
    assert (code, "files: .png 2" in error, "imgcls predict RUN" in error) == (3, True, True)


def test_an_empty_class_folder_that_was_removed_is_forgotten(tmp_path):
    put_classes(tmp_path / "photos", "cat", "dog")
    (tmp_path / "photos/horse").mkdir()
    code, _, error = prepare(tmp_path)
    assert (code, "horse" in error) == (3, True)
    (tmp_path / "photos/horse").rmdir()
    code, out, error = prepare(tmp_path)
    assert (code, "horse" in out + error) == (0, False)


def test_a_class_folder_that_is_a_link_to_nothing_is_named(tmp_path):
    put_classes(tmp_path / "photos", "cat", "dog")
    (tmp_path / "photos/horse").symlink_to("/mnt/nas/horse")
    code, _, error = prepare(tmp_path)
    assert (code, "/mnt/nas/horse, which does not exist" in error) == (3, True)


def test_the_other_of_two_classes_that_is_a_link_to_nothing_is_named(tmp_path):
    put_classes(tmp_path / "photos", "cat")
    (tmp_path / "photos/horse").symlink_to("/mnt/nas/horse")
    code, _, error = prepare(tmp_path)
    assert (code, "/mnt/nas/horse, which does not exist" in error) == (3, True)
