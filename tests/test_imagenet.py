"""ImageNet's official archives, in small ones of the same format, and files extracted from them."""

import io
import tarfile

import numpy
import pytest
from PIL import Image
from scipy.io import savemat
from test_archives import tar_bytes

from imgcls.datasets import _ilsvrc, imagenet
from imgcls.errors import DataError
from imgcls.store import writer
from imgcls.verbs import prepare as prepare_verb

SYNSETS = [  # ILSVRC2012_ID, WordNet id, words: in the kit's own order, which is not the sorted one
    (1, "n02119789", "kit fox, Vulpes macrotis"),
    (2, "n03126707", "crane"),
    (3, "n02012849", "crane"),
    (4, "n01440764", "tench, Tinca tinca"),
]
INNER = (5, "n00001740", "entity")
WNIDS = sorted(wnid for _, wnid, _ in SYNSETS)
TRUTH = [4, 1, 1, 2, 3, 4]


def photo(*shade):
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), shade).save(stream, "JPEG", quality=95)
    return stream.getvalue()


TRAIN = {
    f"{wnid}/{wnid}_{i}.JPEG": photo(40 * label, 30 * i, 100)
    for label, wnid in enumerate(WNIDS)
    for i in (7, 10, 100)
}
VALIDATION = {f"ILSVRC2012_val_{i + 1:08d}.JPEG": photo(20 * i, 200, 50) for i in range(len(TRUTH))}


def meta():
    fields = [
        ("ILSVRC2012_ID", "O"),
        ("WNID", "O"),
        ("words", "O"),
        ("gloss", "O"),
        ("num_children", "O"),
        ("num_train_images", "O"),
    ]
    rows = [
        (float(number), wnid, words, "a gloss", float(wnid == INNER[1]), 1300.0)
        for number, wnid, words in [*SYNSETS, INNER]
    ]
    stream = io.BytesIO()
    savemat(stream, {"synsets": numpy.array(rows, fields)[:, None]})
    return stream.getvalue()


KIT = {
    "ILSVRC2012_devkit_t12/data/meta.mat": meta(),
    "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": (
        "".join(f"{number}\n" for number in TRUTH).encode()
    ),
    "ILSVRC2012_devkit_t12/readme.txt": b"readme",
}


def put(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def packed(folder, train=TRAIN, validation=VALIDATION):
    """Write the three official archives."""
    inner = {
        wnid: tar_bytes(
            {name.split("/")[1]: data for name, data in train.items() if name.startswith(wnid)}
        )
        for wnid in WNIDS
    }
    outer = tar_bytes({f"{wnid}.tar": data for wnid, data in reversed(inner.items())})
    put(folder, {_ilsvrc.TRAIN: outer, _ilsvrc.VALIDATION: tar_bytes(validation)})
    put(folder, {_ilsvrc.KIT: tar_bytes(KIT, "w:gz")})
    return folder


def packed_with_extracted_kit(folder):
    """Write the archives of images, and extract the kit."""
    packed(folder)
    (folder / _ilsvrc.KIT).unlink()
    put(folder, KIT)
    return folder


def flat(folder, train=TRAIN, validation=VALIDATION):
    """Extract the images, validation into one folder, and leave the kit packed."""
    put(folder / "train", train)
    put(folder / "val", validation)
    put(folder, {_ilsvrc.KIT: tar_bytes(KIT, "w:gz")})
    return folder


def extracted(folder):
    """Extract everything, validation into a folder for each class."""
    wnid_of = {number: wnid for number, wnid, _ in SYNSETS}
    put(folder / "train", TRAIN)
    for (name, data), number in zip(VALIDATION.items(), TRUTH, strict=True):
        put(folder / "val" / wnid_of[number], {name: data})
    put(folder, KIT)
    return folder


def prepare(folder, **settings):
    return imagenet.prepare(
        imagenet.Settings(
            name="imagenet", path=str(folder), store_dir=str(folder.parent / "stores"), **settings
        )
    )


@pytest.mark.parametrize("layout", [packed, packed_with_extracted_kit, flat, extracted])
def test_every_layout_gives_the_same_images_with_the_same_classes(tmp_path, layout):
    source = prepare(layout(tmp_path / "imagenet"))
    assert source.classes == ["tench", "crane n02012849", "kit fox", "crane n03126707"]
    expected = {
        f"train/{name}": (WNIDS.index(name.split("/")[0]), "train", data)
        for name, data in TRAIN.items()
    }
    for (name, data), number in zip(VALIDATION.items(), TRUTH, strict=True):
        expected[f"val/{name}"] = (WNIDS.index(SYNSETS[number - 1][1]), "test", data)
    found = {
        entry.id: (entry.label, entry.split, source.read(index))
        for index, entry in enumerate(source.entries)
    }
    assert found == expected
    assert list(found) == sorted(found)


def test_every_layout_gives_the_same_store_with_the_official_validation_as_test(tmp_path):
    fingerprints = set()
    for layout in (packed, flat, extracted):
        folder = layout(tmp_path / layout.__name__)
        settings = {"store_dir": str(tmp_path / f"store {layout.__name__}"), "storage": "encoded"}
        store, _ = prepare_verb.find_or_store(
            imagenet.Settings(name="imagenet", path=str(folder), **settings)
        )
        assert store.manifest.class_counts == {
            "train": [3] * 4,
            "validation": [0] * 4,
            "test": [2, 1, 2, 1],
        }
        fingerprints.add(store.fingerprint)
    assert len(fingerprints) == 1


def test_the_headers_are_read_only_once(tmp_path, capsys):
    folder = packed(tmp_path / "imagenet")
    first = prepare(folder)
    assert capsys.readouterr().err.count("reading the headers") == 2
    second = prepare(folder)
    error = capsys.readouterr().err
    assert "reading the headers" not in error
    assert "not all of ILSVRC2012: 4 classes, 12 training images, 6 validation images" in error
    assert (first.version, first.entries) == (second.version, second.entries)


def test_without_the_kit_classes_are_named_by_their_ids(tmp_path, capsys):
    folder = extracted(tmp_path / "imagenet")
    (folder / "ILSVRC2012_devkit_t12/data/meta.mat").unlink()
    assert prepare(folder).classes == WNIDS
    assert "classes are named by their WordNet ids" in capsys.readouterr().err


def test_validation_images_of_classes_without_training_images_are_left_out_and_counted(
    tmp_path, capsys
):
    folder = flat(tmp_path / "imagenet")
    (folder / "train" / "n01440764").rename(tmp_path / "aside")
    source = prepare(folder)
    assert source.classes == ["crane n02012849", "kit fox", "crane n03126707"]
    assert sum(entry.split == "test" for entry in source.entries) == 4
    assert "left out 2 validation images" in capsys.readouterr().err


def without(*names):
    def change(folder):
        for name in names:
            (folder / name).unlink()

    return change


def with_file(name, data):
    return lambda folder: put(folder, {name: data})


LINK = tarfile.TarInfo("n01440764.tar")
LINK.type, LINK.linkname = tarfile.SYMTYPE, "/etc"
WRONG = [
    (
        packed,
        without(_ilsvrc.VALIDATION, _ilsvrc.KIT),
        f"lacks {_ilsvrc.VALIDATION} and {_ilsvrc.KIT}; get them from https://image-net.org",
    ),
    (packed, without(_ilsvrc.KIT), f"lacks {_ilsvrc.KIT}; get it from https://image-net.org"),
    (packed, without(_ilsvrc.TRAIN), "holds neither ILSVRC2012_img_train.tar"),
    (
        packed,
        with_file(_ilsvrc.TRAIN, tar_bytes({"readme": b"x"})),
        "is not the official archive: besides archives of synsets it holds readme",
    ),
    (
        packed,
        with_file(_ilsvrc.TRAIN, tar_bytes({"n01440764.tar": b"x" * 600})),
        "n01440764.tar is",
    ),
    (
        packed,
        with_file(_ilsvrc.TRAIN, tar_bytes({}, members=[LINK])),
        "n01440764.tar is not a regular file",
    ),
    (
        packed,
        with_file(_ilsvrc.VALIDATION, tar_bytes({"ILSVRC2012_val_00000007.JPEG": b"x"})),
        "val_00000007.JPEG is not one of the",
    ),
    (
        packed,
        with_file(_ilsvrc.VALIDATION, tar_bytes({"cat.JPEG": b"x"})),
        "cat.JPEG is not one of the validation images",
    ),
    (
        packed,
        with_file(_ilsvrc.VALIDATION, tar_bytes(VALIDATION)[:3000]),
        "img_val.tar is not a tar archive, or is damaged or truncated",
    ),
    (
        packed,
        with_file(_ilsvrc.KIT, tar_bytes({"readme": b"x"}, "w:gz")),
        "lacks ILSVRC2012_devkit_t12/data/meta.mat",
    ),
    (
        packed,
        with_file(
            _ilsvrc.KIT, tar_bytes(KIT | {next(iter(KIT)): KIT[next(iter(KIT))][:300]}, "w:gz")
        ),
        "is damaged, or not the dev",
    ),
    (
        packed,
        with_file(_ilsvrc.KIT, tar_bytes(KIT | {list(KIT)[1]: b"1\n9\n"}, "w:gz")),
        "is damaged, or not the development kit",
    ),
    (flat, without(_ilsvrc.KIT), "is needed for their labels"),
    (
        extracted,
        with_file("val/ILSVRC2012_val_00000001.JPEG", b"x"),
        "holds images twice: val/ILSVRC2012_val_00000001.JPEG; remove one of each",
    ),
]


@pytest.mark.parametrize(("layout", "change", "message"), WRONG)
def test_an_error_says_what_is_missing_or_wrong(tmp_path, layout, change, message):
    folder = layout(tmp_path / "imagenet")
    change(folder)
    with pytest.raises(DataError) as caught:
        prepare(folder)
    assert message in str(caught.value)


def test_one_class_is_not_enough(tmp_path):
    for name in ("train/n01440764/1.JPEG", "val/n01440764/2.JPEG"):
        put(tmp_path / "imagenet", {name: photo(1, 2, 3)})
    with pytest.raises(DataError, match="training images of n01440764 only"):
        prepare(tmp_path / "imagenet")


def test_images_of_an_archive_that_vanishes_are_bad_images(tmp_path):
    folder = packed(tmp_path / "imagenet")
    settings = imagenet.Settings(
        name="imagenet",
        path=str(folder),
        store_dir=str(tmp_path / "stores"),
        on_bad_image="skip",
        channels=3,
    )
    source = imagenet.prepare(settings)
    (folder / _ilsvrc.VALIDATION).unlink()
    store, _ = writer.find_or_write(source, settings)
    assert [image.id for image in store.manifest.bad_images] == [
        f"val/{name}" for name in VALIDATION
    ]
    assert {image.problem for image in store.manifest.bad_images} == {
        "cannot be read: No such file or directory"
    }
