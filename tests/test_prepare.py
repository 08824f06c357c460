"""`prepare` from an experiment to a store that training finds again."""

import json
import sys

import numpy
import pytest
from experiments import stored_pixels
from PIL import Image
from sklearn.datasets import load_digits

from imgcls.audit.audit_report import AuditReport
from imgcls.datasets import BadImage
from imgcls.errors import DataError
from imgcls.experiment_file import read_experiment
from imgcls.store import lookup
from imgcls.verbs import prepare


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def experiment(tmp_path, data="{name: digits}", *overrides):
    path = tmp_path / "experiment.yaml"
    path.write_text(f"name: toy\ndata: {data}\nmodel: {{name: cnn}}\n")
    return read_experiment(path, list(overrides))


def paint(root, counts, suffix=".png"):
    """Random images: so many of each class."""
    random = numpy.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(random.integers(0, 256, (9, 8, 3), dtype=numpy.uint8)).save(
                root / name / f"{number}{suffix}"
            )


def test_digits_are_scikit_learns_scaled_to_bytes(tmp_path):
    digits = experiment(tmp_path)
    report = prepare.prepare(digits)
    found, split = lookup.find_store(digits)
    numpy.testing.assert_array_equal(
        stored_pixels(found)[..., 0], numpy.round(load_digits().images * 255 / 16)
    )
    numpy.testing.assert_array_equal(found.labels, load_digits().target)
    assert found.get_ids(numpy.array([0, 1796])) == ["digits/0000", "digits/1796"]
    assert report.sizes == {"train": 1294, "validation": 144, "test": 359}
    assert (len(split.train), len(split.validation), len(split.test)) == (1294, 144, 359)


def test_the_report_is_json_and_says_what_training_will_find(tmp_path):
    digits = experiment(tmp_path)
    report = prepare.prepare(digits)
    found, split = lookup.find_store(digits)
    audit = found.manifest.audits[split.key]
    of_the_store = {
        "folder": str(found.folder),
        "reused": False,
        "bad_images": [],
        "assignments": {"unchanged": 0, "new": 1797},
        "audit": audit.model_dump(),
    }
    described = found.describe(split).model_dump() | of_the_store
    assert json.dumps(report.model_dump()) == json.dumps(described)
    assert prepare.prepare(digits).reused


def test_seeds_and_shares_use_one_store_with_a_split_each(tmp_path):
    variants = [
        experiment(tmp_path, "{name: digits}", *override)
        for override in (
            [],
            ["seed=1"],
            ["data.validation=0.3"],
            ["data.max_images=50"],
            ["data.fold=2/5"],
        )
    ]
    reports = [prepare.prepare(variant) for variant in variants]
    assert len({report.folder for report in reports}) == 1
    assert len({report.split for report in reports}) == 5
    for variant, report in zip(variants, reports, strict=True):
        assert lookup.find_store(variant)[1].key == report.split


def counts(unchanged, new):
    return prepare.AssignmentCounts(unchanged=unchanged, new=new)


def test_added_images_are_counted_and_the_others_stay_in_their_splits_in_a_new_store(
    tmp_path, capsys
):
    paint(tmp_path / "photos", {"cat": 12, "dog": 12})
    photos = experiment(tmp_path, "{name: folder, path: photos, size: [4, 4]}")
    assert prepare.prepare(photos).assignments == counts(0, 24)
    Image.new("RGB", (9, 8)).save(tmp_path / "photos/cat/00.png")
    report = prepare.prepare(photos)
    assert report.assignments == counts(24, 1)
    assert (
        "24 of 25 images stay in the splits that they have in data/folder-"
        in capsys.readouterr().err
    )
    (tmp_path / report.folder / "labels.npy").unlink()
    again = prepare.prepare(photos)
    assert (again.split_sha256, again.assignments) == (
        report.split_sha256,
        counts(25, 0),
    )


def test_splits_that_were_written_are_fixed_by_their_file(tmp_path):
    digits = experiment(tmp_path)
    report = prepare.prepare(digits, tmp_path / "splits.csv")
    fixed = experiment(tmp_path, "{name: digits, splits_file: splits.csv}", "seed=5")
    again = prepare.prepare(fixed)
    assert again.split_sha256 == report.split_sha256
    (tmp_path / "splits.csv").unlink()
    with pytest.raises(
        DataError, match=r"cannot read data\.splits_file: splits\.csv: No such file or directory"
    ):
        lookup.find_store(fixed)


def test_what_was_not_prepared_is_not_found(tmp_path):
    prepare.prepare(experiment(tmp_path))
    for override in ("seed=1", "data.test=0.3", "data.store_dir=elsewhere"):
        with pytest.raises(DataError, match="run `imgcls prepare` first"):
            lookup.find_store(experiment(tmp_path, "{name: digits}", override))


def test_a_run_finds_the_store_it_used(tmp_path):
    report = prepare.prepare(experiment(tmp_path))
    found, split = lookup.open_run_store(report, "data")
    assert (found.fingerprint, split.key) == (report.fingerprint, report.split)


def test_the_data_prepared_last_is_found_also_when_an_older_state_comes_back(tmp_path):
    paint(tmp_path / "photos", {"cat": 12, "dog": 12})
    photos = experiment(tmp_path, "{name: folder, path: photos, size: [4, 4]}")
    first = prepare.prepare(photos).fingerprint
    (tmp_path / "photos/cat/0.png").rename(tmp_path / "kept.png")
    second = prepare.prepare(photos).fingerprint
    assert lookup.find_store(photos)[0].fingerprint == second != first
    (tmp_path / "kept.png").rename(tmp_path / "photos/cat/0.png")
    assert prepare.prepare(photos).fingerprint == first
    assert lookup.find_store(photos)[0].fingerprint == first


def test_a_store_damaged_since_is_told_and_prepared_anew(tmp_path):
    digits = experiment(tmp_path)
    folder = tmp_path / prepare.prepare(digits).folder
    (folder / "labels.npy").unlink()
    with pytest.raises(DataError, match="run `imgcls prepare` again"):
        lookup.find_store(digits)
    prepare.prepare(digits)
    assert lookup.find_store(digits)[0].folder.resolve() == folder


def test_skipped_images_are_in_report_and_manifest(tmp_path):
    paint(tmp_path / "photos", {"cat": 12, "dog": 12})
    (tmp_path / "photos/cat/0.png").write_bytes(b"")
    photos = experiment(tmp_path, "{name: folder, path: photos, size: [4, 4], on_bad_image: skip}")
    bad = [BadImage(id="cat/0.png", problem="empty file (0 bytes)")]
    assert prepare.prepare(photos).bad_images == bad
    assert lookup.find_store(photos)[0].manifest.bad_images == bad


@pytest.mark.parametrize("number", [0, 1])
def test_a_class_with_no_or_one_image_is_named_and_nothing_can_be_trained(tmp_path, number):
    paint(tmp_path / "photos", {"cat": 12, "dog": number})
    photos = experiment(tmp_path, "{name: folder, path: photos}")
    with pytest.raises(DataError, match=f"dog: {number}") as caught:
        prepare.prepare(photos)
    assert caught.value.exit_code == 3
    with pytest.raises(DataError, match="run `imgcls prepare` first"):
        lookup.find_store(photos)


def test_small_classes_are_noted(tmp_path):
    paint(tmp_path / "photos", {"cat": 40, "dog": 5})
    report = prepare.prepare(experiment(tmp_path, "{name: folder, path: photos}"))
    text = prepare.format_report(report, "photos.yaml")
    assert "1 class with fewer than 10 training images: dog 3" in text


def test_the_class_table_has_a_line_a_class_and_totals(tmp_path):
    lines = [
        line.split()
        for line in prepare.format_classes(prepare.prepare(experiment(tmp_path))).splitlines()
    ]
    assert lines[0][:6] == [
        "digits:",
        "1,797",
        "images,",
        "8x8x1,",
        "in",
        "data/digits-aa542ec152e9",
    ]
    assert ["3", "131", "15", "37", "183"] in lines
    assert lines[-1] == ["total", "1,294", "144", "359", "1,797"]


def test_the_class_table_lines_up_with_a_hundred_classes():
    classes = [f"class {number}" for number in range(100)]
    counts = {"train": list(range(0, 100_000, 1000)), "validation": [5] * 100, "test": [50] * 100}
    report = prepare.Preparation(
        dataset="toy",
        fingerprint="f" * 64,
        split="s" * 16,
        split_sha256="5" * 64,
        classes=classes,
        shape=(8, 8, 1),
        sizes={split: sum(numbers) for split, numbers in counts.items()},
        class_counts=counts,
        mean=[100.0],
        std=[50.0],
        folder="data/toy",
        reused=False,
        bad_images=[],
        assignments=prepare.AssignmentCounts(unchanged=0, new=1),
        audit=AuditReport(outcome="no findings", checks={}, findings=[]),
    )
    lines = prepare.format_classes(report).splitlines()
    assert len(lines) == 2 + 1 + 100 + 1
    assert len({len(line) for line in lines[2:]}) == 1
    assert lines[-2].split() == ["class", "99", "99,000", "5", "50", "99,055"]


def test_preparing_imports_no_tensorflow(tmp_path):
    import subprocess

    code = (
        "import sys; from pathlib import Path; from imgcls.verbs import prepare; from"
        " imgcls.experiment_file import read_experiment; light = [name for name in ('numpy',"
        " 'sklearn', 'PIL', 'tensorflow', 'keras', 'matplotlib') if name in sys.modules];"
        " prepare.prepare(read_experiment(Path('experiment.yaml'))); print(light, [name for name in"
        " ('tensorflow', 'keras', 'matplotlib') if name in sys.modules])"
    )
    experiment(tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[] []\n"
