"""Writing a store: into a hidden folder beside its place, block by block, which is renamed once all
of it is on the disk. Light zone.

A process that is killed leaves its folder, and the next one with the same source goes on after the
last whole block. Of two processes that prepare the same data at once, the second one waits, and
uses the first one's store.
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
    """Return the store of a source, and whether it was there already: found, taken up where a
    process was interrupted, or made.

    Raises:
        DataError: not one image is usable.
        UserError: the folder cannot be written, or the disk is full.
    """
    parent = Path(data.store_dir)
    key = hash_json(
        {"data": data.get_storage_settings(), "version": source.version, "format": Manifest.FORMAT}
    )[:16]
    with _hold_draft_folder(parent, f"{_DRAFT}{data.name}-{key}") as folder:
        found = lookup.find_store_of_source(parent, key)
        if found:
            with files.hold_lock(parent / ".lock"):
                return _touch(open_store(found.folder)), True
        return _commit(_write(source, data, key, folder), parent)


@contextlib.contextmanager
def _hold_draft_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield the hidden folder to write a store in, alone; removed at the end, unless it was renamed
    or the process is interrupted.

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
    """Remove what killed processes left: discarded stores, and drafts of other states of this data
    set.
    """
    dataset = folder.name.rpartition("-")[0]
    for other in [*folder.parent.glob(f"{_DISCARDED}*"), *folder.parent.glob(f"{dataset}-*")]:
        if other != folder and not files.is_locked(other / _LOCK):
            shutil.rmtree(other, ignore_errors=True)  # another process may be at it, too


def _write(source: Source, data: DataSettings, key: str, folder: Path) -> Store:
    """Write all that a source gives into a folder, with bounded memory (labels, ids and
    statistics apart), and return it as a store.
    """
    shape = encode.get_stored_shape(source, data)
    name = "images.u8" if shape else "images.bin"
    columns = shards.write_shards(
        source, encode.make_encoder(source, data, shape), folder / "blocks", folder / name
    )
    bad = [*source.bad, *columns.bad]
    if not len(columns.indices):
        raise DataError(
            f"{data.name} has no usable image: {len(bad)} were tried; check data.path and the files"
            " in it"
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
    """Return the arrays of a store by their names, a row an image."""
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
        # An image without a group is one of its own: its id, behind a byte that begins no group's
        # name.
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
    """Return the time in UTC as text that sorts by time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _touch(store: Store, **changes: Any) -> Store:
    """Make a store the one that was prepared last."""
    manifest = store.manifest.model_copy(update={"prepared": _now(), **changes})
    store = Store(store.folder, manifest)
    write_record(store.folder / "manifest.json", manifest)
    terminal.note(f"{store.folder} holds this data already; using it again")
    return store


def _commit(draft: Store, parent: Path) -> tuple[Store, bool]:
    """Make a draft the store of its fingerprint; return that store, and whether it was there
    already and is used again.

    A store that is there is verified, and replaced if it is damaged. Its list of bad images, its
    source and its time are brought up to date, so that the store prepared last is the newest.
    """
    folder = get_store_folder(parent, draft.dataset, draft.fingerprint)
    with files.hold_lock(parent / ".lock"):
        if folder.exists():
            try:
                store = open_store(folder)
                store.verify()
            except FormatError as error:
                if error.folder_format > Manifest.FORMAT:
                    raise
                terminal.note(f"replacing a store, and splitting anew: {error}")
                _discard(folder)
            except DataError as error:
                terminal.note(f"replacing a damaged store: {error}")
                # What was decided once stays, since the content is the same.
                if (folder / "splits").is_dir():
                    shutil.copytree(folder / "splits", draft.folder / "splits")
                _discard(folder)
            else:
                new = draft.manifest
                return _touch(store, bad_images=new.bad_images, source=new.source), True
        _publish(draft, folder)
    return Store(folder, draft.manifest), False


def _publish(draft: Store, folder: Path) -> None:
    """Put a draft's bytes on the disk, write its manifest last, and rename it to its place."""
    for name in draft.manifest.sizes:
        with (draft.folder / name).open("rb") as stream:
            os.fsync(stream.fileno())
    write_record(draft.folder / "manifest.json", draft.manifest)
    (draft.folder / _LOCK).unlink()
    os.rename(draft.folder, folder)
    files.sync_folder(folder.parent)


def _discard(folder: Path) -> None:
    """Move a store or a draft out of the way before it is removed, so that nobody opens one that is
    half gone, or locks it.
    """
    aside = folder.with_name(f"{_DISCARDED}{secrets.token_hex(8)}")
    os.rename(folder, aside)
    shutil.rmtree(aside, ignore_errors=True)  # what is left, the next preparation removes
