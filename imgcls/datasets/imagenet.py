"""ImageNet, ILSVRC2012: 1.28 million photos of 1,000 classes (Russakovsky et al., 2015,
https://arxiv.org/abs/1409.0575).

Reads the official archives without extracting them, or the folders train/ and val/ extracted from
them. The official validation images are the `test` split, since the labels of the official test
images are secret; the `validation` split comes from the training images. Classes are in the order
of their WordNet ids, and named by their first synonym.

Light zone.
"""

import itertools
from pathlib import Path

from imgcls.datasets import Entry, ImageSettings, Source, _ilsvrc, _image_files
from imgcls.datasets._ilsvrc import ImageLocation
from imgcls.errors import DataError
from imgcls.io import terminal

_COUNTS = {"classes": 1_000, "training images": 1_281_167, "validation images": 50_000}


class Settings(ImageSettings):
    """The settings of ImageNet."""

    path: str
    """The folder that holds the three official archives, the development kit extracted or not; or
    train/<WordNet id>/*.JPEG, and val/ in the same layout, or flat and with the development kit."""


def prepare(settings: Settings) -> Source:
    """Find the images.

    Raises:
        DataError: an archive or folder is missing or damaged.
    """
    folder = Path(settings.path).expanduser()
    kit = _ilsvrc.read_kit(folder)
    train, validation = _locate_images(
        folder, kit, Path(settings.store_dir) / "downloads" / settings.name
    )
    wnids = sorted({image.wnid for image in train})
    known = [image for image in validation if image.wnid in set(wnids)]
    if len(known) < len(validation):
        terminal.note(
            f"left out {len(validation) - len(known):,} validation images of classes without"
            " training images"
        )
    classes = _ilsvrc.make_class_names(wnids, kit.words if kit else {})
    _note_differences(
        {"classes": len(classes), "training images": len(train), "validation images": len(known)},
        kit is not None,
    )
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    images = sorted([*train, *known], key=lambda image: image.id.encode("utf-8", "surrogateescape"))
    _require_usable(folder, wnids, [image.id for image in images])
    entries = [
        Entry(image.id, labels[image.wnid], "test" if image.id.startswith("val/") else "train")
        for image in images
    ]
    return Source(
        classes,
        entries,
        lambda index: images[index].read(),
        _compute_version(images),
        empty_splits=(
            {} if known else {"test": _ilsvrc.describe_empty_validation(folder, len(validation))}
        ),
    )


def _locate_images(
    folder: Path, kit: _ilsvrc.DevelopmentKit | None, cache: Path
) -> tuple[list[ImageLocation], list[ImageLocation]]:
    """Return the images of the official training and validation splits."""
    if (folder / _ilsvrc.TRAIN).is_file():
        missing = [] if (folder / _ilsvrc.VALIDATION).is_file() else [_ilsvrc.VALIDATION]
        if kit is None:
            missing.append(_ilsvrc.KIT)
        if missing or kit is None:
            raise DataError(
                f"data.path: {folder} holds {_ilsvrc.TRAIN}, but lacks {' and '.join(missing)}; get"
                f" {'it' if len(missing) == 1 else 'them'} from {_ilsvrc.DOWNLOAD_PAGE}"
            )
        return _ilsvrc.find_packed_train(folder, cache), _ilsvrc.find_packed_validation(
            folder, cache, kit
        )
    if not (folder / "train").is_dir() or not (folder / "val").is_dir():
        raise DataError(
            f"data.path: {folder} holds neither {_ilsvrc.TRAIN}, {_ilsvrc.VALIDATION} and"
            f" {_ilsvrc.KIT} nor the folders train/ and val/; ImageNet cannot be downloaded without"
            f" an account: get the archives from {_ilsvrc.DOWNLOAD_PAGE}"
        )
    train = _ilsvrc.find_extracted_train(folder)
    if not train:
        raise DataError(
            f"{folder / 'train'} holds no images in folders named by WordNet ids, such as"
            " train/n01440764/*.JPEG"
        )
    return train, _ilsvrc.find_extracted_validation(folder, kit)


def _require_usable(folder: Path, wnids: list[str], ids: list[str]) -> None:
    if len(wnids) < 2:
        raise DataError(
            f"{folder} holds training images of {wnids[0] if wnids else 'no class'} only; a"
            " classifier needs at least two classes"
        )
    twice = [first for first, second in itertools.pairwise(ids) if first == second]
    if twice:
        raise DataError(
            f"{folder} holds images twice: {terminal.format_some(twice, 3)}; remove one of each"
        )


def _note_differences(found: dict[str, int], has_words: bool) -> None:
    if found != _COUNTS:
        terminal.note(
            "this is not all of ILSVRC2012:"
            f" {', '.join(f'{count:,} {name}' for name, count in found.items())}"
        )
    if not has_words:
        terminal.note(
            f"classes are named by their WordNet ids, since there is no {_ilsvrc.KIT} with their"
            " synonyms"
        )


def _compute_version(images: list[ImageLocation]) -> str:
    """Return a digest of the sizes and times of the archives or image files."""
    return _image_files.compute_version(list({image.path: None for image in images}))
