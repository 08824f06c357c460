"""The audit: checks run in order, their policies are applied, and the report is saved."""

import json
import shlex
from dataclasses import replace

import numpy
import pytest
from experiments import command, experiment, source_of, stored
from PIL import Image

from imgcls import parts
from imgcls.audit import runner
from imgcls.audit.audit_report import ReportedFinding
from imgcls.datasets import DataSettings, Entry
from imgcls.errors import DataError
from imgcls.experiment_file import read_experiment
from imgcls.io.yaml_file import ProblemsError
from imgcls.split import assign
from imgcls.store import lookup
from imgcls.store.store import open_store
from imgcls.verbs import prepare

NAMES = [
    f"{split}/{number}"
    for split, count in (("train", 12), ("validation", 3), ("test", 4))
    for number in range(count)
]
CLASSES = ["cat", "dog"]


def noise(seed=0):
    """Return 19 images that are not similar."""
    return numpy.random.default_rng(seed).integers(0, 256, (19, 8, 8, 1), dtype=numpy.uint8)


def make_store(folder, images, labels=None):
    """Store images as those of `NAMES`, every second one a dog; return the store and its split."""
    labels = labels or [i % 2 for i in range(len(NAMES))]
    entries = [
        Entry(name, label, name.partition("/")[0])
        for name, label in zip(NAMES, labels, strict=True)
    ]
    store = stored(folder, source_of(images, entries, CLASSES))
    return store, assign.assign_splits(store, DataSettings(name="toy"), 0)


def noise_with_copies(*pairs):
    """Return noise in which the second image of each pair of names is a copy of the first."""
    images = noise()
    for original, copy in pairs:
        images[NAMES.index(copy)] = images[NAMES.index(original)]
    return images


def run(store, split, *policies):
    """Run checks given as `name=policy`; return report, ids of the images left, and split."""
    chosen = [text.split("=") for text in policies]
    checks = [
        parts.load("checks", name).Settings(name=name, policy=policy) for name, policy in chosen
    ]
    report, left = runner.run_checks(store, split, checks)
    return (
        report,
        {
            name
            for each in ("train", "validation", "test")
            for name in store.get_ids(left.get_indices(each))
        },
        left,
    )


def test_every_check_runs_by_default_and_clean_data_has_no_findings(tmp_path):
    store, split = make_store(tmp_path, noise())
    report, left = runner.run_checks(
        store,
        split,
        [
            check
            for check in parts.make_all_default_settings("checks")
            if check.name != "small_classes"
        ],
    )
    assert report.outcome == "no findings"
    assert report.findings == []
    assert left is split
    text = runner.format_report(report, "photos.yaml")
    assert text.startswith("audit of the data: no findings of 10 checks\n")
    assert "not checked, since data.audit does not list them: small_classes" in text
    assert [check.name for check in experiment(tmp_path).data.audit] == parts.list_names("checks")


def test_the_copy_in_test_is_kept_or_else_the_first_by_id(tmp_path):
    images = noise_with_copies(
        ("test/0", "train/2"),
        ("test/0", "validation/1"),
        ("validation/0", "train/0"),
        ("train/4", "train/10"),
    )
    labels = [0] * len(NAMES)
    labels[1] = labels[14] = labels[16] = 1
    store, split = make_store(tmp_path, images, labels)
    report, left_ids, left = run(store, split, "exact_duplicates=drop")
    assert set(NAMES) - left_ids == {"train/2", "validation/1", "train/0", "train/4"}
    assert "train/10" < "train/4"
    assert [(found.count, found.dropped) for found in report.findings] == [(1, 1), (3, 3)]
    trained = images[[NAMES.index(name) for name in store.get_ids(left.train)]]
    assert left.mean == pytest.approx(trained.mean(), rel=1e-6)
    assert left.std == pytest.approx(trained.std(), rel=1e-6)


@pytest.mark.parametrize(("policy", "dropped"), [("note", 0), ("fail", 0), ("drop", 1)])
def test_a_policy_notes_drops_or_fails(tmp_path, policy, dropped):
    store, split = make_store(tmp_path, noise_with_copies(("train/0", "train/2")))
    report, left_ids, _ = run(store, split, f"exact_duplicates={policy}")
    (found,) = report.findings
    assert found == ReportedFinding(
        check="exact_duplicates",
        policy=policy,
        count=1,
        message="1 image repeats another of the same split as an exact copy: 1 in train",
        examples=[["train/0", "train/2"]],
        leakage=False,
        dropped=dropped,
    )
    assert len(left_ids) == len(NAMES) - dropped
    assert report.outcome == ("failed" if policy == "fail" else "findings")


def test_a_later_check_sees_only_what_an_earlier_one_did_not_drop(tmp_path):
    store, split = make_store(tmp_path, noise_with_copies(("train/0", "train/2")))
    report, _, _ = run(store, split, "exact_duplicates=drop", "exact_duplicates=note")
    assert len(report.findings) == 1


def test_all_images_of_a_label_conflict_are_dropped(tmp_path):
    store, split = make_store(
        tmp_path,
        noise_with_copies(
            ("train/0", "train/1"),
            ("train/0", "train/2"),
            ("train/4", "test/1"),
            ("train/6", "train/8"),
        ),
    )
    report, left_ids, _ = run(store, split, "label_conflicts=drop")
    assert set(NAMES) - left_ids == {"train/0", "train/1", "train/2"}
    assert report.findings[0].message == "3 images in 1 group are similar but have different labels"
    assert report.findings[0].examples == [["train/0", "train/1", "train/2"]]


def test_a_split_written_without_dropped_images_is_audited_with_them(tmp_path):
    store, split = make_store(
        tmp_path,
        noise_with_copies(("train/0", "train/2"), ("train/4", "test/0")),
        [0, 1] + [0] * 17,
    )
    # As data.max_images leaves out an image, which must not come back.
    split = replace(split, train=split.train[:11])
    first, _, left = run(store, split, "exact_duplicates=drop")
    assert left.dropped.tolist() == [2, 4]
    store.save_split(left)
    again, _, last = run(store, store.read_split(split.key), "exact_duplicates=drop")
    assert again == first
    assert (last.sha256, last.dropped.tolist(), last.mean.tolist()) == (
        left.sha256,
        [2, 4],
        left.mean.tolist(),
    )
    assert run(store, store.read_split(split.key), "exact_duplicates=note")[
        2
    ].train.tolist() == list(range(11))


def test_dropping_all_images_of_a_class_or_split_is_an_error(tmp_path):
    images = noise_with_copies(("train/1", "train/0"))
    store, split = make_store(tmp_path, images, [0] + [1] * 11 + [0, 1, 1] + [0, 1, 1, 1])
    with pytest.raises(
        DataError, match=r"leaves no image for class cat; .*another policy than drop in data\.audit"
    ):
        run(store, split, "label_conflicts=drop")
    images = noise_with_copies(
        ("train/0", "validation/0"), ("train/1", "validation/1"), ("train/2", "validation/2")
    )
    store, split = make_store(tmp_path / "other", images, [0] * 11 + [1] + [0, 0, 0] + [0, 0, 0, 1])
    assert run(store, split, "exact_duplicates=drop")[2].validation.tolist() == [12, 13, 14]
    images = noise_with_copies(*[(f"validation/{i}", f"test/{i}") for i in range(3)])
    store, split = make_store(tmp_path / "third", images, [0] * 11 + [1] + [0, 0, 0] + [0, 0, 0, 1])
    with pytest.raises(DataError, match="leaves no image for the validation split"):
        run(store, split, "exact_duplicates=drop")


@pytest.fixture
def photos(workspace):
    """Two classes of 20 images, with two leaked copies and one label conflict."""
    random = numpy.random.default_rng(0)
    for split, count in (("train", 16), ("test", 4)):
        for name in CLASSES:
            (workspace / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (8, 8, 3), dtype=numpy.uint8)
                Image.fromarray(pixels).save(workspace / "photos" / split / name / f"{number}.png")
    copies = [
        ("test/cat/0", "train/cat/0"),
        ("test/cat/1", "train/cat/1"),
        ("train/cat/5", "train/dog/5"),
    ]
    for original, copy in copies:
        (workspace / f"photos/{copy}.png").write_bytes(
            (workspace / f"photos/{original}.png").read_bytes()
        )
    (workspace / "photos.yaml").write_text(
        "name: photos\ndata: {name: folder, path: photos, size: [8, 8], validation: 0}\nmodel:"
        " {name: cnn}\n"
    )
    return workspace


def test_prepare_reports_what_it_found_and_what_to_do_next(photos):
    arguments = [str(photos.joinpath("photos.yaml").rename("my photos.yaml")), "--set", "seed=1"]
    exit_code, stdout, _ = command("prepare", *arguments)
    assert exit_code == 0
    headline = "audit of the data: 2 findings of exact_duplicates (LEAKAGE), label_conflicts"
    assert f"\n\n{headline}\n" in stdout
    assert "exact_duplicates  note        2" in stdout
    assert (
        "LEAKAGE: 2 held-out images with an exact copy in another split: 2 of test in train"
        in stdout
    )
    assert "test/cat/0.png = train/cat/0.png" in stdout
    assert f"train with the data as it is: `imgcls train {shlex.join(arguments)}`;" in stdout
    assert f"`imgcls train {shlex.join(arguments)}`;" in command("audit", *arguments)[1]


def test_a_file_name_cannot_control_the_terminal(photos):
    name = b"photos/train/cat/\xff\n\x1b[31m.png"
    with open(name, "wb") as stream:
        stream.write((photos / "photos/test/cat/0.png").read_bytes())
    exit_code, stdout, _ = command("prepare", "photos.yaml")
    assert exit_code == 0
    assert r"test/cat/0.png = train/cat/0.png = train/cat/\udcff\n\x1b[31m.png" in stdout


def test_a_failed_audit_lists_all_findings_and_saves_a_report_but_no_split(photos):
    failing = (
        "data.audit=[{name: exact_duplicates, policy: fail}, {name: label_conflicts, policy: fail},"
        " {name: imbalance}]"
    )
    exit_code, stdout, stderr = command("prepare", "photos.yaml", "--set", failing)
    assert (exit_code, stdout) == (3, "")
    assert "the audit of the data failed with 2 findings" in stderr
    assert "exact_duplicates: LEAKAGE: 2 held-out images" in stderr
    assert "label_conflicts: 2 images in 1 group" in stderr
    exit_code, stdout, _ = command("audit", "photos.yaml", "--set", failing, "--json")
    report = json.loads(stdout)["audit"]
    assert exit_code == 0
    assert report["outcome"] == "failed"
    assert [found["leakage"] for found in report["findings"]] == [True, False]
    assert report["checks"] == {
        "exact_duplicates": "fail",
        "label_conflicts": "fail",
        "imbalance": "note",
    }
    assert command("train", "photos.yaml", "--set", failing)[0] == 3


def test_policies_share_one_store_whose_manifest_has_the_report_of_each_split(photos):
    noting = read_experiment(photos / "photos.yaml", [])
    dropping = read_experiment(
        photos / "photos.yaml", ["data.audit=[{name: exact_duplicates, policy: drop}]"]
    )
    first, second, again, dropped_again = (
        prepare.prepare(each) for each in (noting, dropping, noting, dropping)
    )
    assert first.folder == second.folder
    assert again.reused
    assert again.audit == first.audit
    assert (dropped_again.audit, dropped_again.split_sha256) == (
        second.audit,
        second.split_sha256,
    )
    assert second.sizes["train"] == first.sizes["train"] - 2
    assert second.sizes["test"] == first.sizes["test"]
    store, split = lookup.find_store(dropping)
    assert split.key != lookup.find_store(noting)[1].key
    assert sorted(store.manifest.audits.values(), key=str) == sorted(
        [first.audit, second.audit], key=str
    )
    open_store(store.folder).verify(max_bytes=None)


def test_a_check_given_twice_is_an_error(tmp_path):
    with pytest.raises(ProblemsError, match="lists imbalance more than once"):
        experiment(tmp_path, "data.audit=[{name: imbalance}, {name: imbalance}]")


def test_drop_is_an_error_for_checks_that_do_not_find_images(tmp_path):
    with pytest.raises(ProblemsError, match=r"data\.audit\.0\.policy.*'note' or 'fail'"):
        experiment(tmp_path, "data.audit=[{name: imbalance, policy: drop}]")
