"""ILSVRC2012's development kit and the locations of its images, packed or extracted. Light zone.

The archives are ILSVRC2012_img_train.tar, which holds an archive for each synset,
ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz, whose readme.txt says how to read the
others. Class numbers follow the sorted WordNet ids, as is usual (torchvision's `ImageNet` does the
same), not the kit's own ILSVRC2012_ID.
"""

import io
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from imgcls.datasets import _split_folders
from imgcls.errors import DataError
from imgcls.image import decode
from imgcls.io import archives, terminal
from imgcls.io.archives import ArchiveIndex

TRAIN, VALIDATION, KIT = (
    "ILSVRC2012_img_train.tar",
    "ILSVRC2012_img_val.tar",
    "ILSVRC2012_devkit_t12.tar.gz",
)
DOWNLOAD_PAGE = "https://image-net.org/download-images.php (free for research, with an account)"

_META, _TRUTH = (
    "ILSVRC2012_devkit_t12/data/meta.mat",
    "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
)
_MAX_BYTES = 1 << 24
_WNID = re.compile(r"n\d{8}")
_NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


@dataclass(frozen=True)
class DevelopmentKit:
    """The contents of the development kit.

    Attributes:
        words: the synonyms of each synset, by WordNet id.
        truth: the WordNet id of each validation image, in the order of the images' numbers.
    """

    words: dict[str, str]
    truth: list[str]


class ImageLocation(NamedTuple):
    """Where an image is: in its own file, or at `start` in an archive; `wnid` is its class."""

    id: str
    wnid: str
    path: Path
    start: int | None = None
    size: int = 0

    def read(self) -> bytes:
        """Return the image file's bytes.

        Raises:
            ImageError: it cannot be read.
        """
        return (
            decode.read_file(self.path)
            if self.start is None
            else archives.read_member(self.path, self.start, self.size)
        )


def read_kit(folder: Path) -> DevelopmentKit | None:
    """Return the development kit in a folder, packed or extracted; None if there is none.

    Raises:
        DataError: it is damaged.
    """
    packed = folder / KIT
    if packed.is_file():
        content = archives.extract_members(packed, {_META: _MAX_BYTES, _TRUTH: _MAX_BYTES})
        return _parse_kit(content[_META], content[_TRUTH], packed)
    if (folder / _META).is_file():
        try:
            return _parse_kit(
                (folder / _META).read_bytes(), (folder / _TRUTH).read_bytes(), folder / _META
            )
        except OSError as error:
            raise DataError(
                f"cannot read {error.filename}: {error.strerror}; extract {KIT} again"
            ) from None
    return None


def _parse_kit(meta: bytes, truth: bytes, origin: Path) -> DevelopmentKit:
    from scipy.io import loadmat

    try:
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        leaves = synsets[synsets["num_children"] == 0]
        wnids = dict(zip(map(int, leaves["ILSVRC2012_ID"]), map(str, leaves["WNID"]), strict=True))
        words = dict(zip(wnids.values(), map(str, leaves["words"]), strict=True))
        return DevelopmentKit(words, [wnids[int(number)] for number in truth.split()])
    except Exception as error:  # on a damaged file SciPy raises errors of many types
        raise DataError(
            f"{origin} is damaged, or not the development kit of ILSVRC2012 ({error}); get it again"
        ) from error


def make_class_names(wnids: list[str], words: dict[str, str]) -> list[str]:
    """Return each synset's first synonym, followed by the WordNet id if it is not unique.

    Two synsets are called crane, for example.
    """
    first = [words[wnid].split(", ")[0] if wnid in words else wnid for wnid in wnids]
    counts = Counter(first)
    return [
        name if counts[name] == 1 else f"{name} {wnid}"
        for name, wnid in zip(first, wnids, strict=True)
    ]


def find_packed_train(folder: Path, cache: Path) -> list[ImageLocation]:
    """Return the images of the training archive.

    Raises:
        DataError: it is missing, damaged, or not the official archive.
    """
    locations = _locate(folder / TRAIN, "train", archives.load_index(folder / TRAIN, cache))
    others = sorted({each.id.split("/")[1] for each in locations if not _WNID.fullmatch(each.wnid)})
    if others:
        raise DataError(
            f"{folder / TRAIN} is not the official archive: besides archives of synsets it holds"
            f" {terminal.format_some(others, 3)}; get it from {DOWNLOAD_PAGE}"
        )
    return locations


def find_packed_validation(folder: Path, cache: Path, kit: DevelopmentKit) -> list[ImageLocation]:
    """Return the images of the validation archive.

    Raises:
        DataError: it is missing, damaged, or not the official archive.
    """
    locations = _locate(folder / VALIDATION, "val", archives.load_index(folder / VALIDATION, cache))
    return [each._replace(wnid=_find_true_class(each, kit)) for each in locations]


def _locate(archive: Path, prefix: str, index: ArchiveIndex) -> list[ImageLocation]:
    names = [os.fsdecode(name) for name in index.names.tolist()]
    rows = zip(names, index.starts.tolist(), index.sizes.tolist(), strict=True)
    return [
        ImageLocation(f"{prefix}/{name}", name.rpartition("/")[0], archive, start, size)
        for name, start, size in rows
    ]


def find_extracted_train(folder: Path) -> list[ImageLocation]:
    """Return the images of train/<WordNet id>/."""
    return [
        ImageLocation(f"train/{path.parent.name}/{path.name}", path.parent.name, path)
        for path in _list_images_below(folder / "train")
    ]


def find_extracted_validation(folder: Path, kit: DevelopmentKit | None) -> list[ImageLocation]:
    """Return the images of val/<WordNet id>/, or of a flat val/ with the development kit.

    Image ids are the same in both layouts.

    Raises:
        DataError: val/ is flat and there is no kit, or it holds images that the kit does not list.
    """
    flat = [ImageLocation(f"val/{path.name}", "", path) for path in _list_files(folder / "val")]
    if flat and kit is None:
        raise DataError(
            f"{folder / 'val'} holds images that are not in class folders, so {folder / KIT} is"
            f" needed for their labels; get it from {DOWNLOAD_PAGE}"
        )
    in_folders = [
        ImageLocation(f"val/{path.name}", path.parent.name, path)
        for path in _list_images_below(folder / "val")
    ]
    return [
        *(each._replace(wnid=_find_true_class(each, kit)) for each in flat if kit),
        *in_folders,
    ]


def describe_empty_validation(folder: Path, found: int) -> str:
    """Return why there are no validation images, of `found` that are of any class."""
    if found:
        return f"none of its {found:,} images is of a class with training images"
    packed = folder / VALIDATION
    return (
        f"{packed} holds no images"
        if packed.is_file()
        else f"{folder / 'val'} holds no images, neither directly nor in folders named by WordNet"
        " ids"
    )


def _list_images_below(folder: Path) -> list[Path]:
    """Return the images in the subfolders of a folder that are named by WordNet ids."""
    gone = list(filter(_WNID.fullmatch, _split_folders.list_dangling_links(folder)))
    if gone:
        raise DataError(
            f"{folder} holds links to folders that do not exist: {terminal.format_some(gone, 3)};"
            " repair or remove them"
        )
    return [
        path
        for name, child in _split_folders.list_folders(folder).items()
        if _WNID.fullmatch(name)
        for path in _list_files(child)
    ]


def _list_files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if entry.name.lower().endswith(decode.EXTENSIONS) and not entry.is_dir()
            ]
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}") from None


def _find_true_class(image: ImageLocation, kit: DevelopmentKit) -> str:
    name = image.id.removeprefix("val/")
    numbered = _NUMBERED.fullmatch(name)
    if not numbered or not 1 <= int(numbered[1]) <= len(kit.truth):
        raise DataError(
            f"{image.path}: {name} is not one of the validation images,"
            f" ILSVRC2012_val_00000001.JPEG to ILSVRC2012_val_{len(kit.truth):08d}.JPEG; remove it,"
            " or get the official archive"
        )
    return kit.truth[int(numbered[1]) - 1]
