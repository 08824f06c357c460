"""The real TensorFlow Datasets, for which tests/test_tfds.py has a stand-in."""

import numpy
import pytest
from experiments import stored_pixels

from imgcls.datasets import tfds
from imgcls.errors import DataError
from imgcls.verbs import prepare

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("default"),  # the library's own are not ours
]
IMAGES = numpy.random.default_rng(0).integers(0, 256, (9, 6, 5, 3), numpy.uint8)
LABELS = ["bean", "apple", "corn"] * 3


@pytest.fixture(scope="module")
def prepared_by_the_library(tmp_path_factory):
    """The folder of a data set with two splits, which the library itself has written."""
    import tensorflow_datasets as library

    class Leaves(library.core.GeneratorBasedBuilder):
        """Nine images of three classes."""

        VERSION = library.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": library.features.Image(shape=(None, None, 3), encoding_format="png"),
                "label": library.features.ClassLabel(names=["bean", "apple", "corn"]),
            }
            return library.core.DatasetInfo(
                builder=self, features=library.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(0, 6), "test": self._generate_examples(6, 9)}

        def _generate_examples(self, start, end):
            for number in range(start, end):
                yield number, {"image": IMAGES[number], "label": LABELS[number]}

    folder = tmp_path_factory.mktemp("sets")
    Leaves(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def store(folder, stores, **changes):
    settings = {
        "name": "tfds",
        "dataset": "leaves",
        "path": str(folder),
        "store_dir": str(stores),
        "size": [6, 5],
        "offline": True,
    }
    return prepare.find_or_store(tfds.Settings(**settings | changes))[0]


def test_a_data_set_that_the_library_wrote_is_stored_pixel_by_pixel(
    prepared_by_the_library, tmp_path
):
    found = store(prepared_by_the_library, tmp_path)
    assert found.classes == ["bean", "apple", "corn"]
    places = {image.tobytes(): place for place, image in enumerate(IMAGES)}
    order = [places[image.tobytes()] for image in stored_pixels(found)]
    assert sorted(order) == list(range(9))
    assert [found.classes[label] for label in found.labels] == [LABELS[place] for place in order]
    assert found.source_splits.tolist() == [0 if place < 6 else 2 for place in order]


def test_the_librarys_slices_of_splits_are_understood(prepared_by_the_library, tmp_path):
    splits = {"train": "train[:50%]", "test": "train[50%:]"}
    found = store(prepared_by_the_library, tmp_path, own_splits=splits)
    assert found.source_splits.tolist() == [0] * 3 + [2] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "flowers"}, "holds no prepared data set 'flowers'"),
        ({"label": "class"}, "class is not of type ClassLabel"),
        ({"own_splits": {"train": "validation"}}, "leaves has no split 'validation'"),
    ],
)
def test_errors_of_the_real_library_are_told_in_our_words(
    prepared_by_the_library, tmp_path, changes, message
):
    with pytest.raises(DataError, match=message):
        store(prepared_by_the_library, tmp_path, **changes)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_part_of_a_split_without_images_is_an_error(prepared_by_the_library, tmp_path, split):
    own_splits = {"train": "train", split: "test[:0]"}
    with pytest.raises(
        DataError, match=rf"{split}: the split 'test\[:0\]' of leaves holds no image"
    ):
        store(prepared_by_the_library, tmp_path, own_splits=own_splits)
