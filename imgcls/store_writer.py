"""Writing a store: into a hidden folder beside its place, which is renamed once all of it is on the disk. Light zone.

Two processes that prepare the same data both write; the second to finish finds the store there and drops its own. What a killed
process leaves behind is removed by the next one: its lock is free, since the system releases a lock when its process ends.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls import files, terminal
from imgcls.datasets import SPLITS, BadImage, Record, Source
from imgcls.errors import DataError
from imgcls.store import CONTENT, FORMAT, Store, content_fingerprint, open_store, store_folder

if TYPE_CHECKING:
    import numpy

_PREFIX, _LOCK = ".tmp-", "lock"


@contextlib.contextmanager
def draft_folder(parent: Path) -> Iterator[Path]:
    """Yield a hidden folder in `parent` to write a store in; removed at the end, unless `commit` renamed it.

    Raises:
        UserError: `parent` cannot be written, or the disk is full.
    """
    with files.explained(parent):
        parent.mkdir(parents=True, exist_ok=True)
        with files.locked(parent / ".lock"):
            _remove_abandoned(parent)
            folder = parent / f"{_PREFIX}{secrets.token_hex(8)}"
            folder.mkdir()
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            with files.locked(parent / ".lock"):  # or another process might remove the same folder as abandoned
                os.close(descriptor)
                if folder.exists():
                    shutil.rmtree(folder)


def write(source: Source, dataset: str, folder: Path) -> Store:
    """Write all that a source yields into a folder, with bounded memory (labels and ids apart), and return it as a store.

    Raises:
        DataError: not one image is usable.
    """
    import numpy

    digest = hashlib.sha256()
    labels: list[int] = []
    ids: list[bytes] = []
    splits: list[int] = []
    bad: list[BadImage] = []
    with (folder / "images.u8").open("wb", buffering=1 << 20) as stream:
        for record in terminal.track(source.records, source.count, "preparing"):
            if isinstance(record, BadImage):
                bad.append(record)
                continue
            pixels = _pixels(record, source.shape)
            digest.update(pixels)
            stream.write(pixels)
            labels.append(record.label)
            ids.append(record.id.encode("utf-8", "surrogateescape"))
            splits.append(SPLITS.index(record.split))
    if not labels:
        raise DataError(f"{dataset} has no usable image: {len(bad)} were tried; check data.path and the files in it")
    numpy.save(folder / "labels.npy", numpy.array(labels, "<i4"))
    numpy.save(folder / "ids.npy", numpy.array(ids))
    numpy.save(folder / "source_splits.npy", numpy.array(splits, "u1"))
    sha256 = {"images.u8": digest.hexdigest()} | {name: files.sha256(folder / name) for name in CONTENT[1:]}
    manifest = _manifest(source, dataset, bad, labels, splits)
    manifest |= {"sizes": {name: (folder / name).stat().st_size for name in CONTENT}, "sha256": sha256}
    return Store(folder, manifest | {"fingerprint": content_fingerprint(manifest)})


def _pixels(record: Record, shape: tuple[int, int, int]) -> "numpy.ndarray":
    """Return a record's image with its bytes in order; another shape or type than promised is a bug of the dataset part."""
    import numpy

    if record.image.shape != shape or record.image.dtype != numpy.uint8:
        raise ValueError(f"{record.id}: a source of {shape} uint8 images yielded {record.image.shape} {record.image.dtype}")
    return numpy.ascontiguousarray(record.image)


def _manifest(source: Source, dataset: str, bad: list[BadImage], labels: list[int], splits: list[int]) -> dict[str, Any]:
    counts = {split: [0] * len(source.classes) for split in SPLITS}
    for label, split in zip(labels, splits, strict=True):
        counts[SPLITS[split]][label] += 1
    return {
        "format": FORMAT,
        "dataset": dataset,
        "classes": source.classes,
        "shape": list(source.shape),
        "count": len(labels),
        "class_counts": counts,
        "bad_images": [{"id": image.id, "problem": image.problem} for image in bad],
        "prepared": _now(),
    }


def _now() -> str:
    """Return the time in UTC as text that sorts by time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def commit(draft: Store, parent: Path) -> tuple[Store, bool]:
    """Make a draft the store of its fingerprint; return that store, and whether it was there already and is used again.

    A store that is there is verified, and replaced if it is damaged. Its list of bad images and its time are brought up to date, so
    that the store prepared last is the newest.
    """
    folder = store_folder(parent, draft.dataset, draft.fingerprint)
    with files.explained(folder), files.locked(parent / ".lock"):
        if folder.exists():
            try:
                store = open_store(folder)
                store.verify()
            except DataError as error:
                terminal.note(f"replacing a damaged store: {error}")
                _discard(folder)
            else:
                store = Store(folder, store.manifest | {key: draft.manifest[key] for key in ("bad_images", "prepared")})
                files.write_json(folder / "manifest.json", store.manifest)
                terminal.note(f"{folder} holds this data already; using it again")
                return store, True
        _publish(draft, folder)
    return Store(folder, draft.manifest), False


def _publish(draft: Store, folder: Path) -> None:
    """Put a draft's bytes on the disk, write its manifest last, and rename it to its place."""
    for name in CONTENT:
        with (draft.folder / name).open("rb") as stream:
            os.fsync(stream.fileno())
    files.write_json(draft.folder / "manifest.json", draft.manifest)
    (draft.folder / _LOCK).unlink()
    os.rename(draft.folder, folder)
    files.sync_folder(folder.parent)


def _discard(folder: Path) -> None:
    """Move a store out of the way before it is removed, so that nobody opens one that is half gone."""
    aside = folder.with_name(f"{_PREFIX}{secrets.token_hex(8)}")
    os.rename(folder, aside)
    shutil.rmtree(aside)


def _remove_abandoned(parent: Path) -> None:
    """Remove the drafts whose process has ended; call with the lock of `parent` held, under which drafts come into being."""
    for folder in parent.glob(f"{_PREFIX}*"):
        if not _is_held(folder / _LOCK):
            shutil.rmtree(folder)


def _is_held(path: Path) -> bool:
    """Tell whether a living process holds a lock file."""
    if not path.exists():
        return False
    with path.open("rb+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
