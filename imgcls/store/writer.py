"""Writing stores. Light zone.

A store is written to a hidden draft folder, shard by shard, which is renamed once it is complete
and synced to disk. A killed process leaves its draft, and the next one for the same source
continues after the last complete shard. If two processes prepare the same data, the second waits,
and uses the store of the first.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imgcls.datasets import SPLITS, DataSettings, Source, SplitName
from imgcls.errors import DataError
from imgcls.io import files, terminal
from imgcls.io.records import FormatError, write_record
from imgcls.store import encode, lookup, shards
from imgcls.store.manifest import Manifest
from imgcls.store.shards import Columns
from imgcls.store.store import (
    Store,
    compute_fingerprint,
    get_store_folder,
    hash_json,
    open_store,
)

_DRAFT, _DISCARDED, _LOCK = ".draft-", ".tmp-", "lock"


def find_or_write(source: Source, data: DataSettings) -> tuple[Store, bool]:
    """Return the store of a source, and whether it existed; write it if it did not.

    Raises:
        DataError: no image is usable.
        UserError: the folder cannot be written, or the disk is full.
    """
    parent = Path(data.store_dir)
    key = hash_json(
        {"data": data.get_storage_settings(), "version": source.version, "format": Manifest.FORMAT}
    )[:16]
    with _hold_draft_folder(parent, f"{_DRAFT}{data.name}-{key}") as folder:
        existing = lookup.find_store_of_source(parent, key)
        if existing:
            with files.hold_lock(parent / ".lock"):
                return _reuse(open_store(existing.folder)), True
        return _commit(_write(source, data, key, folder), parent)


@contextlib.contextmanager
def _hold_draft_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield the draft folder of a store, with its lock held; remove it at the end.

    It stays if it was renamed, or if the process is interrupted.

    Raises:
        UserError: `parent` cannot be written, or the disk is full.
    """
    folder = parent / name
    with files.explain_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
    with files.explain_errors(folder), files.hold_lock(folder / _LOCK):
        _remove_abandoned(folder)
        try:
            yield folder
        except Exception:
            _discard(folder)
            raise
        if folder.exists():
            _discard(folder)


def _remove_abandoned(folder: Path) -> None:
    """Remove leftovers of killed processes: discarded folders, and other drafts of the data set."""
    dataset = folder.name.rpartition("-")[0]
    for other in [*folder.parent.glob(f"{_DISCARDED}*"), *folder.parent.glob(f"{dataset}-*")]:
        if other != folder and not files.is_locked(other / _LOCK):
            shutil.rmtree(other, ignore_errors=True)  # another process may be removing it too


def _write(source: Source, data: DataSettings, key: str, folder: Path) -> Store:
    """Write the content of a source to a draft folder, and return it as a store.

    Memory does not grow with the number of images, except for labels, ids and statistics.
    """
    shape = encode.get_stored_shape(source, data)
    name = "images.u8" if shape else "images.bin"
    columns = shards.write_shards(
        source, encode.make_encoder(source, data, shape), folder / "blocks", folder / name
    )
    bad = [*source.bad, *columns.bad]
    if not len(columns.indices):
        raise DataError(
            f"{data.name} has no usable image; {len(bad)} cannot be used; check data.path and the"
            " files in it"
        )
    content = _collect_arrays(source, columns, encoded=shape is None)
    _save_arrays(folder, content)
    shutil.rmtree(folder / "blocks")
    names = sorted([name, *(f"{array}.npy" for array in content)])
    sha256 = {name: files.compute_sha256(folder / name) for name in names}
    manifest = Manifest(
        format=Manifest.FORMAT,
        dataset=data.name,
        classes=source.classes,
        shape=shape,
        count=len(columns.indices),
        class_counts=_count_classes(source, content),
        bad_images=bad,
        prepared=_now(),
        source=key,
        audits={},
        sizes={name: (folder / name).stat().st_size for name in names},
        sha256=sha256,
        fingerprint=compute_fingerprint(source.classes, shape, sha256),
    )
    return Store(folder, manifest)


def _collect_arrays(source: Source, columns: Columns, encoded: bool) -> dict[str, Any]:
    """Return the arrays of a store by name, with a row per image."""
    import numpy

    entries = [source.entries[index] for index in columns.indices.tolist()]
    content = {
        "labels": numpy.array([entry.label for entry in entries], "<i4"),
        "ids": numpy.array([entry.id.encode("utf-8", "surrogateescape") for entry in entries]),
        "source_splits": numpy.array([SPLITS.index(entry.split) for entry in entries], "u1"),
        "image_statistics": columns.image_statistics,
    }
    if encoded:
        content["records"] = columns.records
    if any(entry.group is not None for entry in entries):
        # An image without a group forms a group, named by its id after a byte that no name of a
        # group begins with.
        groups = [f"\0{entry.id}" if entry.group is None else entry.group for entry in entries]
        content["groups"] = numpy.array(
            [group.encode("utf-8", "surrogateescape") for group in groups]
        )
    if any(entry.weight != 1.0 for entry in entries):
        content["weights"] = numpy.array([entry.weight for entry in entries], "<f4")
    return content


def _save_arrays(folder: Path, content: dict[str, Any]) -> None:
    import numpy

    for name, array in content.items():
        numpy.save(folder / f"{name}.npy", array)


def _count_classes(source: Source, content: dict[str, Any]) -> dict[SplitName, list[int]]:
    import numpy

    return {
        split: (
            numpy.bincount(
                content["labels"][content["source_splits"] == number], minlength=len(source.classes)
            ).tolist()
        )
        for number, split in enumerate(SPLITS)
    }


def _now() -> str:
    """Return the current time in UTC, in ISO 8601, which sorts chronologically."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _reuse(store: Store, **changes: Any) -> Store:
    """Return an existing store with the time of preparation updated, and note its reuse.

    Args:
        changes: other fields of its manifest.
    """
    manifest = store.manifest.model_copy(update={"prepared": _now(), **changes})
    store = Store(store.folder, manifest)
    write_record(store.folder / "manifest.json", manifest)
    terminal.note(f"{store.folder} already contains this data; using it again")
    return store


def _commit(draft: Store, parent: Path) -> tuple[Store, bool]:
    """Publish a draft, unless a store with its fingerprint exists.

    An existing store is verified, and replaced if it is damaged. In its manifest the bad images,
    the source and the time of preparation are updated.

    Returns:
        The store, and whether it existed.
    """
    folder = get_store_folder(parent, draft.dataset, draft.fingerprint)
    with files.hold_lock(parent / ".lock"):
        if folder.exists():
            try:
                store = open_store(folder)
                store.verify(max_bytes=None)
            except FormatError as error:
                if error.folder_format > Manifest.FORMAT:
                    raise
                terminal.note(f"replacing a store and its splits: {error}")
                _discard(folder)
            except DataError as error:
                terminal.note(f"replacing a damaged store: {error}")
                # The splits remain valid, since the content is the same.
                if (folder / "splits").is_dir():
                    shutil.copytree(folder / "splits", draft.folder / "splits")
                _discard(folder)
            else:
                new = draft.manifest
                return _reuse(store, bad_images=new.bad_images, source=new.source), True
        _publish(draft, folder)
    return Store(folder, draft.manifest), False


def _publish(draft: Store, folder: Path) -> None:
    """Sync the files of a draft to disk, write its manifest last, and rename it to `folder`."""
    for name in draft.manifest.sizes:
        with (draft.folder / name).open("rb") as stream:
            os.fsync(stream.fileno())
    write_record(draft.folder / "manifest.json", draft.manifest)
    (draft.folder / _LOCK).unlink()
    os.rename(draft.folder, folder)
    files.sync_folder(folder.parent)


def _discard(folder: Path) -> None:
    """Remove a store or draft, after renaming it, so that no process opens it half removed."""
    discarded = folder.with_name(f"{_DISCARDED}{secrets.token_hex(8)}")
    os.rename(folder, discarded)
    shutil.rmtree(discarded, ignore_errors=True)  # the next preparation removes leftovers
