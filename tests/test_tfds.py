"""Images and classes of TensorFlow Datasets, of which a stand-in has the interface of 4.9.10.

The library itself is an extra.
"""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from experiments import stored_pixels
from PIL import Image

from imgcls.datasets import tfds
from imgcls.errors import DataError, UserError
from imgcls.verbs import prepare

NAMES = ["bean", "apple", "corn"]


def png(shade):
    stream = io.BytesIO()
    Image.new("L", (4, 4), shade).save(stream, "PNG")
    return stream.getvalue()


SPLITS = {
    "train": [{"image": png(shade), "label": shade % 3} for shade in range(12)],
    "test": [{"image": png(100 + shade), "label": shade % 3} for shade in range(6)],
    "extra": [{"image": png(200), "label": -1}],
}


class ImageFeature:
    """The library's features.Image."""


class ClassLabel:
    """The library's features.ClassLabel."""

    names = NAMES


class NotFoundError(ValueError):
    """The library's registered.DatasetNotFoundError."""


class SplitDict(dict):
    """The library's splits.SplitDict."""

    def __getitem__(self, name):
        if name not in self:
            raise ValueError(f"Unknown split '{name}'.")
        return SimpleNamespace(num_examples=len(SPLITS[name]))


class Builder:
    """A data set on the disk, or one that can be prepared there."""

    def __init__(self, name, data_dir, file_format="array_record"):
        self.data_dir = str(Path(data_dir) / name / "1.0.0")
        features = {"image": ImageFeature(), "label": ClassLabel()}
        self.info = SimpleNamespace(
            full_name=f"{name}/1.0.0",
            features=features,
            splits=SplitDict(SPLITS),
            file_format=SimpleNamespace(value=file_format),
        )

    def download_and_prepare(self):
        Path(self.data_dir).mkdir(parents=True)
        (Path(self.data_dir) / "dataset_info.json").write_text("{}")

    def as_data_source(self, split, decoders):
        assert list(decoders) == ["image"]
        assert SPLITS[split], "the library raises an error of its own for an empty split"
        return SPLITS[split]


def from_files(name, data_dir):
    if not (Path(data_dir) / name / "1.0.0").is_dir():
        raise NotFoundError(name)
    return Builder(name, data_dir)


def from_code(name, data_dir, file_format):
    if name == "nowhere":
        raise NotFoundError("Dataset nowhere not found.\nAvailable datasets:\n- beans")
    return Builder(name, data_dir, file_format)


@pytest.fixture
def library(monkeypatch):
    """The stand-in, in place of the library."""
    module = SimpleNamespace(
        builder=from_code,
        core=SimpleNamespace(
            read_only_builder=SimpleNamespace(builder_from_files=from_files),
            registered=SimpleNamespace(DatasetNotFoundError=NotFoundError),
        ),
        decode=SimpleNamespace(SkipDecoding=object),
        features=SimpleNamespace(Image=ImageFeature, ClassLabel=ClassLabel),
        disable_progress_bar=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    return module


def store(folder, **changes):
    settings = {
        "name": "tfds",
        "dataset": "beans",
        "path": str(folder / "sets"),
        "store_dir": str(folder / "stores"),
        "size": [4, 4],
    }
    return prepare.find_or_store(tfds.Settings(**settings | changes))[0]


@pytest.mark.parametrize("storage", ["pixels", "encoded"])
def test_image_files_are_stored_as_they_are(tmp_path, library, storage):
    found = store(tmp_path, storage=storage)
    assert found.classes == NAMES
    assert found.labels.tolist() == [
        record["label"] for split in ("train", "test") for record in SPLITS[split]
    ]
    assert found.source_splits.tolist() == [0] * 12 + [2] * 6
    assert found.get_ids(numpy.array([0, 13])) == ["train/0000000", "test/0000001"]
    if storage == "pixels":
        assert stored_pixels(found)[:, 0, 0, 0].tolist() == [*range(12), *range(100, 106)]
    else:
        assert (found.folder / "images.bin").read_bytes() == b"".join(
            record["image"] for name in ("train", "test") for record in SPLITS[name]
        )


def test_it_is_prepared_once_and_then_needs_no_network(tmp_path, library, capsys):
    store(tmp_path)
    assert "TensorFlow Datasets is preparing 'beans'" in capsys.readouterr().err
    store(tmp_path, offline=True)
    assert "preparing" not in capsys.readouterr().err


def test_users_choose_the_splits(tmp_path, library):
    assert store(tmp_path, own_splits={"train": "test"}).count == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"offline": True},
            "holds no prepared data set 'beans', and data.offline forbids downloading it",
        ),
        (
            {"dataset": "nowhere"},
            "cannot prepare 'nowhere': NotFoundError: Dataset nowhere not found.",
        ),
        (
            {"image": "photo"},
            (
                "photo is not of type ImageFeature; its features are image (ImageFeature), label"
                " (ClassLabel): choose two of them with data.image"
            ),
        ),
        ({"own_splits": {"train": "val"}}, "beans has no split 'val': Unknown split 'val'."),
        (
            {"own_splits": {"test": "test"}},
            "has the splits train, test, extra; choose the one for training with data.own_splits",
        ),
        (
            {"own_splits": {"train": "train", "test": "extra"}},
            "beans: 1 of 1 images of extra have no label; choose other splits",
        ),
    ],
)
def test_an_error_says_what_is_wrong(tmp_path, library, changes, message):
    with pytest.raises(DataError) as caught:
        store(tmp_path, **changes)
    assert message in str(caught.value)


def test_a_format_without_random_access_is_an_error(tmp_path, library, monkeypatch):
    monkeypatch.setattr(
        library.core.read_only_builder,
        "builder_from_files",
        lambda name, data_dir: Builder(name, data_dir, "tfrecord"),
    )
    with pytest.raises(DataError, match="is stored as tfrecord, which has no random access"):
        store(tmp_path)


def test_without_the_extra_an_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"install it with: pip install 'imgcls\[tfds\]'"):
        store(tmp_path)


def test_an_empty_split_of_tensorflow_datasets_is_an_error(tmp_path, library, monkeypatch):
    monkeypatch.setitem(SPLITS, "validation", [])
    with pytest.raises(
        DataError, match="validation: the split 'validation' of beans holds no images"
    ):
        store(tmp_path)


def test_splits_of_tensorflow_datasets_that_are_not_used_are_noted(tmp_path, library, capsys):
    store(tmp_path)
    assert "splits of beans that are not used: extra; to choose" in capsys.readouterr().err
    store(tmp_path, own_splits={"train": "train", "test": "test"})
    assert "not used" not in capsys.readouterr().err
