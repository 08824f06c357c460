"""A data set of TensorFlow Datasets (https://www.tensorflow.org/datasets), as array_record.

It needs the extra imgcls[tfds]. The library reads the image files without decoding them;
imgcls/image/decode.py turns them into pixels.

Light zone.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import Field

from imgcls.datasets import (
    SPLITS,
    Entry,
    ImageSettings,
    Source,
    SplitName,
    _concatenated,
    _image_files,
)
from imgcls.errors import DataError, UserError
from imgcls.image import decode
from imgcls.io import terminal


class Settings(ImageSettings):
    """The settings of a data set of TensorFlow Datasets."""

    dataset: str = Field(pattern=r"^\w+(/[\w.-]+)?(:[\w.*]+)?$")
    """Its name, such as beans, beans:0.1.0, or name/config:version."""
    path: str | None = None
    """The folder of prepared data sets, where this one is prepared if it is missing; by default a
    folder in `store_dir`."""
    offline: bool = False
    """Never download: a missing data set is an error."""
    image: str = "image"
    """The name of the image feature."""
    label: str = "label"
    """The name of the label feature."""
    own_splits: dict[SplitName, str] | None = None
    """The splits to use as train, validation and test, such as {train: "train[:80%]", test:
    "train[80%:]"}; by default those of the same names."""


def prepare(settings: Settings) -> Source:
    """Open the data set, after the library has downloaded and prepared it if it is missing.

    Raises:
        UserError: the library is not installed.
        DataError: the data set is unknown or missing, lacks the features or splits, or cannot be
            downloaded.
    """
    library = _import_library()
    builder = _open_builder(library, settings)
    classes = _read_classes(library, builder, settings)
    splits = _choose_splits(builder, settings)
    empty = _find_empty_splits(builder, settings, splits)
    entries, sources = [], []
    for split, name in splits.items():
        if split in empty:
            continue  # the library cannot open it
        source = builder.as_data_source(
            split=name, decoders={settings.image: library.decode.SkipDecoding()}
        )
        labels = [
            int(source[index][settings.label])
            for index in terminal.track(range(len(source)), len(source), f"labels of {name}")
        ]
        if unlabeled := sum(not 0 <= label < len(classes) for label in labels):
            raise DataError(
                f"{settings.dataset}: {unlabeled:,} of {len(labels):,} images of {name} have no"
                " label; choose other splits with data.own_splits"
            )
        entries += [
            Entry(f"{split}/{index:07d}", label, split) for index, label in enumerate(labels)
        ]
        sources.append(source)

    def read(number: int, index: int) -> bytes:
        data = sources[number][index][settings.image]
        decode.check_file_size(len(data))
        return data

    files = sorted(path for path in Path(builder.data_dir).iterdir() if path.is_file())
    return Source(
        classes,
        entries,
        _concatenated.make_reader(sources, read),
        f"{builder.info.full_name} {_image_files.compute_version(files)}",
        empty_splits=empty,
    )


def _import_library() -> ModuleType:
    try:
        import tensorflow_datasets
    except ModuleNotFoundError as error:
        raise UserError(
            f"data.name: tfds needs TensorFlow Datasets ({error}); install it with: pip install"
            " 'imgcls[tfds]'"
        ) from None
    return tensorflow_datasets


def _open_builder(library: ModuleType, settings: Settings) -> Any:
    """Return the builder of a data set, which is prepared first if it is missing."""
    folder = Path(
        settings.path or Path(settings.store_dir) / "downloads" / settings.name
    ).expanduser()
    try:
        builder = library.core.read_only_builder.builder_from_files(
            settings.dataset, data_dir=str(folder)
        )
    except library.core.registered.DatasetNotFoundError:
        if settings.offline:
            raise DataError(
                f"{folder} holds no prepared data set '{settings.dataset}', and data.offline"
                " forbids downloading it; prepare it where there is a network, and set data.path to"
                " its folder"
            ) from None
        builder = _prepare_builder(library, settings.dataset, folder)
    if builder.info.file_format.value != "array_record":
        raise DataError(
            f"{builder.data_dir} is stored as {builder.info.file_format.value}, which has no random"
            " access; set data.path to another folder, in which it is prepared as array_record"
        )
    return builder


def _prepare_builder(library: ModuleType, name: str, folder: Path) -> Any:
    from imgcls import backend  # noqa: F401 - sets switches before the library imports TensorFlow

    if not terminal.is_terminal():
        library.disable_progress_bar()
    terminal.note(f"TensorFlow Datasets is preparing '{name}' in {folder}")
    try:
        builder = library.builder(name, data_dir=str(folder), file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # a thousand data sets have code of their own
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise DataError(f"TensorFlow Datasets cannot prepare '{name}': {reason}") from error
    return builder


def _read_classes(library: ModuleType, builder: Any, settings: Settings) -> list[str]:
    features = dict(builder.info.features)
    wanted = {settings.image: library.features.Image, settings.label: library.features.ClassLabel}
    if wrong := [
        f"{name} is not of type {kind.__name__}"
        for name, kind in wanted.items()
        if not isinstance(features.get(name), kind)
    ]:
        found = ", ".join(
            f"{name} ({type(feature).__name__})" for name, feature in features.items()
        )
        raise DataError(
            f"{settings.dataset}: {' and '.join(wrong)}; its features are {found}: choose"
            " two of them with data.image and data.label"
        )
    return list(features[settings.label].names)


def _choose_splits(builder: Any, settings: Settings) -> dict[SplitName, str]:
    splits = settings.own_splits or {
        split: split for split in SPLITS if split in builder.info.splits
    }
    unused = [name for name in builder.info.splits if name not in SPLITS]
    if unused and not settings.own_splits:
        terminal.note(
            f"splits of {settings.dataset} that are not used: {', '.join(unused)}; to choose, set"
            " data.own_splits"
        )
    if "train" not in splits:
        raise DataError(
            f"{settings.dataset} has the splits {', '.join(builder.info.splits)}; choose the one"
            " for training with data.own_splits"
        )
    return splits


def _find_empty_splits(
    builder: Any, settings: Settings, splits: dict[SplitName, str]
) -> dict[SplitName, str]:
    """Return the splits without images, each with the reason, such as `train[:0]`."""
    empty: dict[SplitName, str] = {}
    for split, name in splits.items():
        try:
            count = builder.info.splits[name].num_examples
        except ValueError as error:
            raise DataError(f"{settings.dataset} has no split '{name}': {error}") from None
        if not count:
            empty[split] = f"the split '{name}' of {settings.dataset} holds no images"
    return empty
